// From a sum to the stored word: PostScale, the function, one rounding. `numerics/definition/epilogue.py` and
// `lookup.py` in C.
#pragma once

#include "number.h"

enum function { LINEAR, RELU, TABLE };
enum mode { DIRECT_MODES = 3, FRACTION = 3, INTEGER = 4, SQUARE_ROOT = 5, RECIPROCAL = 7, LOG2 = 9, EXP2 = 10 };
enum { LOW, HIGH, BELOW, ABOVE, KNOTS, LEFT = 37, RIGHT = 39, LAST_KNOT = 32 };  // places in the numbers of a table
enum { STEP_EXPONENT, MODE, SIGN };                                // and in its meta
enum { NO_KNOTS = 0x40, UNDEFINED_BELOW_ZERO = 0x80, MAGNITUDE = 0x40, NEGATE = 0x20 };

#define STEP 0x1p-16          // of the accumulator
#define LIMIT 0x1p31          // steps that do not fit
#define INFINITE 0x1p64       // value of an infinite sum: infinite after every scale but zero

struct ending {
    const float *numbers;
    const int64_t *meta;
    double scale;
    enum function function;
};

static inline struct ending ending_of(const struct row *row, const struct arrays *arrays) {
    return (struct ending){
        arrays->floats + row->table[0], arrays->integers + row->meta[0], arrays->floats[row->scale[0]],
        (enum function)row->function[0],
    };
}

static inline double power_of_two(int64_t exponent) {
    uint64_t bits = (uint64_t)(least(most(exponent, -1000), 1000) + 1023) << 52;
    double value;
    __builtin_memcpy(&value, &bits, 8);
    return value;
}

// The number m in [0.5, 1) and the exponent of v = m * 2^e, for v > 0.
static inline double significand_of(float v, int64_t *exponent) {
    double value = v;
    uint64_t bits;
    __builtin_memcpy(&bits, &value, 8);
    *exponent = (int64_t)(bits >> 52) - 1022;
    return value * power_of_two(-*exponent);
}

INLINE floats16 knots_at(const float *numbers, words16 places) {
    floats16 found;
    UNROLL for (int i = 0; i < 16; i++) found[i] = numbers[KNOTS + places[i]];
    return found;
}

// Between two knots: so many steps from the knot `zero` on, up or down (-1); `last` steps are there at most.
INLINE floats16 chords(const float *numbers, floats16 steps, int32_t zero, words16 direction, words16 last) {
    words16 whole = __builtin_elementwise_max(__builtin_convertvector(steps, words16), ALL16(0));
    whole = __builtin_elementwise_min(whole, last - 1);
    floats16 knot = knots_at(numbers, zero + direction * whole);
    floats16 difference = rounded(knots_at(numbers, zero + direction * (whole + 1)) - knot);
    return rounded(knot + rounded(difference * (steps - __builtin_convertvector(whole, floats16))));
}

static float whole_chord(const float *numbers, float steps) {
    return chords(numbers, (floats16){} + steps, 0, ALL16(1), ALL16(LAST_KNOT))[0];
}

// The line on the right or the left.
INLINE floats16 beside(const float *numbers, words16 right, floats16 v) {
    return chosen_floats(right, numbers[RIGHT] * v + numbers[RIGHT + 1], numbers[LEFT] * v + numbers[LEFT + 1]);
}

// Modes whose knots cover the argument itself; `zero` is the knot at 0.
INLINE floats16 direct(const float *numbers, double step, int32_t zero, floats16 v) {
    floats16 steps = __builtin_convertvector(__builtin_convertvector(v, doubles16) * step, floats16);
    words16 inside = (steps >= (floats16){} + (float)-zero) & (steps <= (floats16){} + (float)(LAST_KNOT - zero));
    words16 down = (steps < (floats16){}) | ALL16(zero == LAST_KNOT ? -1 : 0);
    words16 last = chosen(down, ALL16(zero), ALL16(LAST_KNOT - zero));
    floats16 between = chords(numbers, __builtin_elementwise_abs(steps), zero, down | 1, last);
    return chosen_floats(inside, between, beside(numbers, steps >= (floats16){}, v));
}

// Modes that reduce the argument first, or have no knots.
static float reduced(const float *numbers, int64_t mode, float v) {
    if (mode == FRACTION || mode == INTEGER) {
        float whole = __builtin_truncf(v);
        return mode == INTEGER ? whole : v - whole;
    }
    if (mode == EXP2) {
        float whole = __builtin_floorf(v);
        return (float)(whole_chord(numbers, (v - whole) * 32) * power_of_two((int64_t)whole));
    }
    if (!(v > 0)) return numbers[BELOW];
    int64_t power;
    double significand = significand_of(v, &power);
    float half_domain = (float)((significand - 0.5) * 64);
    if (mode == RECIPROCAL) return (float)(whole_chord(numbers, half_domain) * power_of_two(-power));
    if (mode == LOG2) return whole_chord(numbers, half_domain) + (float)power;
    int64_t root = power >> 1;
    float value = whole_chord(numbers, (float)(significand * power_of_two(power - 2 * root) * 16));
    return (float)(value * power_of_two(mode == SQUARE_ROOT ? root : -root));
}

static floats16 reduced_values(const float *numbers, int64_t mode, floats16 v) {
    for (int i = 0; i < 16; i++)
        v[i] = v[i] > numbers[LOW] && v[i] < numbers[HIGH] ? reduced(numbers, mode, v[i]) : 0;
    return v;
}

// The table's results.
INLINE floats16 look_up(const struct ending *ending, floats16 v) {
    const float *numbers = ending->numbers;
    int64_t sign = ending->meta[SIGN], mode = ending->meta[MODE];
    floats16 u = sign & MAGNITUDE ? __builtin_elementwise_abs(v) : v, y;
    if (mode >= DIRECT_MODES) y = reduced_values(numbers, mode, u);
    else if (ending->meta[STEP_EXPONENT] == NO_KNOTS) y = beside(numbers, u > (floats16){}, u);
    else y = direct(numbers, power_of_two(ending->meta[STEP_EXPONENT]), (int32_t)(16 * mode), u);
    y = chosen_floats(u >= (floats16){} + numbers[HIGH], (floats16){} + numbers[ABOVE], y);
    y = chosen_floats(u <= (floats16){} + numbers[LOW], (floats16){} + numbers[BELOW], y);
    words16 negative = v < (floats16){};
    if (sign & NEGATE) y = chosen_floats(negative, -y, y);
    return sign & UNDEFINED_BELOW_ZERO ? (floats16)((words16)y & ~negative) : y;
}

// Words of values that PostScale has not multiplied yet.
INLINE halves16 end_value(const struct ending *ending, doubles16 values) {
    values *= ending->scale;
    if (ending->function == TABLE) return nearest(look_up(ending, __builtin_convertvector(values, floats16)));
    return nearest(ending->function == RELU ? positive(cut(values)) : cut(values));
}

// Ends values; the arrays are as long as whole vectors.
static void end_values(const struct ending *ending, const double *values, int64_t count, half *result) {
    for (int64_t i = 0; i < count; i += 16)
        *(halves16 *)(result + i) = end_value(ending, *(const doubles16 *)(values + i));
}

// Words of sums without a scale. They are below 32768 and multiples of 2^-16, so no subnormal is rounded.
INLINE halves16 nearest_of_sums(words16 sums) {
    words16 magnitude = __builtin_elementwise_abs(sums);
    magnitude &= ~((magnitude >= ALL16(1 << 24)) & 0xFF);  // exact in float32; a tie away from zero does not see the rest
    words16 bits = (words16)(__builtin_convertvector(magnitude, floats16) * 0x1p-16f) + 0x1000;
    words16 word = chosen(magnitude < ALL16(4), magnitude << 8, (bits - ALL16(112 << 23)) >> 13);
    return __builtin_convertvector(word | (sums >> 16 & 0x8000), halves16);
}

INLINE halves16 end_sum(const struct ending *ending, words16 sums) {
    if (ending->scale != 1) return end_value(ending, __builtin_convertvector(sums, doubles16) * STEP);
    if (ending->function == LINEAR) return nearest_of_sums(sums);
    if (ending->function == RELU) return nearest_of_sums(__builtin_elementwise_max(sums, ALL16(0)));
    return nearest(look_up(ending, __builtin_convertvector(sums, floats16) * 0x1p-16f));
}

// Ends sums that have stayed inside the accumulator; the arrays are as long as whole vectors.
static void end_sums(const struct ending *ending, const int32_t *sums, int64_t count, half *result) {
    if (ending->scale == 1 && ending->function == LINEAR)
        for (int64_t i = 0; i < count; i += 16)
            *(halves16 *)(result + i) = nearest_of_sums(*(const words16 *)(sums + i));
    else
        for (int64_t i = 0; i < count; i += 16)
            *(halves16 *)(result + i) = end_sum(ending, *(const words16 *)(sums + i));
}

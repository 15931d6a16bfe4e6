// From a sum to the stored word: PostScale, the function, one rounding. `numerics/definition/epilogue.py` and
// `lookup.py` in C.
#pragma once

#include "number.h"

enum function { LINEAR, RELU, TABLE, CLAMP };
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
    int32_t lowest, highest;  // of the sums, for CLAMP
};

// A table that is nothing but a clamp of small numbers: sums are exact in float32, and nothing is rounded twice.
static inline int is_clamp(const float *numbers, const int64_t *meta) {
    int plain = meta[MODE] < DIRECT_MODES && meta[SIGN] == 0 && meta[STEP_EXPONENT] == NO_KNOTS;
    int identity = numbers[RIGHT] == 1 && numbers[RIGHT + 1] == 0;
    int limits = numbers[LOW] >= 0 && numbers[HIGH] > numbers[LOW] && numbers[HIGH] <= 256;
    return plain && identity && limits && numbers[BELOW] == numbers[LOW] && numbers[ABOVE] == numbers[HIGH];
}

static inline struct ending ending_of(const struct row *row, const struct arrays *arrays) {
    struct ending ending = {
        arrays->floats + row->table[0], arrays->integers + row->meta[0], arrays->floats[row->scale[0]],
        (enum function)row->function[0], 0, INT32_MAX,
    };
    if (ending.scale == 1 && ending.function == TABLE && is_clamp(ending.numbers, ending.meta)) {
        ending.function = CLAMP;
        ending.lowest = (int32_t)(ending.numbers[LOW] * 0x1p16f);
        ending.highest = (int32_t)(ending.numbers[HIGH] * 0x1p16f);
    }
    return ending;
}

// values * 2^exponents, rounded once.
INLINE floats16 scaled(floats16 values, longs16 exponents) {
    const longs16 most = (longs16){} + 1000;
    exponents = __builtin_elementwise_max(__builtin_elementwise_min(exponents, most), -most);
    doubles16 powers = (doubles16)((exponents + 1023) << 52);
    return __builtin_convertvector(__builtin_convertvector(values, doubles16) * powers, floats16);
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

// The line on the right or the left.
INLINE floats16 beside(const float *numbers, words16 right, floats16 v) {
    return chosen_floats(right, numbers[RIGHT] * v + numbers[RIGHT + 1], numbers[LEFT] * v + numbers[LEFT + 1]);
}

// Modes whose knots cover the argument itself; `zero` is the knot at 0.
INLINE floats16 direct(const float *numbers, int64_t step_exponent, int32_t zero, floats16 v) {
    floats16 steps = scaled(v, (longs16){} + step_exponent);
    words16 inside = (steps >= (floats16){} + (float)-zero) & (steps <= (floats16){} + (float)(LAST_KNOT - zero));
    words16 down = (steps < (floats16){}) | ALL16(zero == LAST_KNOT ? -1 : 0);
    words16 last = chosen(down, ALL16(zero), ALL16(LAST_KNOT - zero));
    floats16 between = chords(numbers, __builtin_elementwise_abs(steps), zero, down | 1, last);
    return chosen_floats(inside, between, beside(numbers, steps >= (floats16){}, v));
}

// Modes without knots, and those that reduce the argument first: v = m * 2^e with m in [0.5, 1).
static floats16 reduced(const float *numbers, int64_t mode, floats16 v) {
    const words16 up = ALL16(1), last = ALL16(LAST_KNOT);
    floats16 whole = mode == EXP2 ? __builtin_elementwise_floor(v) : __builtin_elementwise_trunc(v);
    if (mode == FRACTION || mode == INTEGER) return mode == INTEGER ? whole : v - whole;
    if (mode == EXP2) {
        floats16 near = __builtin_elementwise_max(__builtin_elementwise_min(whole, (floats16){} + 1000), (floats16){} - 1000);
        return scaled(chords(numbers, (v - whole) * 32, 0, up, last), __builtin_convertvector(near, longs16));
    }
    longs16 bits = (longs16)__builtin_convertvector(v, doubles16), exponents = (bits >> 52) - 1022;
    doubles16 significands = (doubles16)((bits & 0xFFFFFFFFFFFFF) | 1022ll << 52);
    floats16 y;
    if (mode == RECIPROCAL || mode == LOG2) {
        floats16 half_domain = __builtin_convertvector((significands - 0.5) * 64, floats16);
        y = chords(numbers, half_domain, 0, up, last);
        y = mode == LOG2 ? y + __builtin_convertvector(exponents, floats16) : scaled(y, -exponents);
    } else {
        longs16 roots = exponents >> 1, odd = exponents & 1;
        doubles16 twice = significands * __builtin_convertvector(odd + 1, doubles16) * 16;
        y = chords(numbers, __builtin_convertvector(twice, floats16), 0, up, last);
        y = scaled(y, mode == SQUARE_ROOT ? roots : -roots);
    }
    return chosen_floats(v > (floats16){}, y, (floats16){} + numbers[BELOW]);
}

// The table's results.
INLINE floats16 look_up(const struct ending *ending, floats16 v) {
    const float *numbers = ending->numbers;
    int64_t sign = ending->meta[SIGN], mode = ending->meta[MODE];
    floats16 u = sign & MAGNITUDE ? __builtin_elementwise_abs(v) : v, y;
    if (mode >= DIRECT_MODES) y = reduced(numbers, mode, u);
    else if (ending->meta[STEP_EXPONENT] == NO_KNOTS) y = beside(numbers, u > (floats16){}, u);
    else y = direct(numbers, ending->meta[STEP_EXPONENT], (int32_t)(16 * mode), u);
    y = chosen_floats(u >= (floats16){} + numbers[HIGH], (floats16){} + numbers[ABOVE], y);
    y = chosen_floats(u <= (floats16){} + numbers[LOW], (floats16){} + numbers[BELOW], y);
    words16 negative = v < (floats16){};
    if (sign & NEGATE) y = chosen_floats(negative, -y, y);
    return sign & UNDEFINED_BELOW_ZERO ? (floats16)((words16)y & ~negative) : y;
}

// Words of values that PostScale has not multiplied yet.
INLINE halves16 end_value(const struct ending *ending, doubles16 values) {
    values *= ending->scale;
    if (ending->function >= TABLE) return nearest(look_up(ending, __builtin_convertvector(values, floats16)));
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
    floats16 values = __builtin_convertvector(magnitude, floats16) * 0x1p-16f;
    return narrowed((words16)values | (sums & ALL16(INT32_MIN)));
}

INLINE halves16 end_sum(const struct ending *ending, words16 sums) {
    if (ending->scale != 1) return end_value(ending, __builtin_convertvector(sums, doubles16) * STEP);
    return nearest(look_up(ending, __builtin_convertvector(sums, floats16) * 0x1p-16f));
}

// Ends sums that have stayed inside the accumulator; the arrays are as long as whole vectors.
static void end_sums(const struct ending *ending, const int32_t *sums, int64_t count, half *result) {
    const words16 lowest = ALL16(ending->lowest), highest = ALL16(ending->highest);
    if (ending->scale == 1 && ending->function == LINEAR)
        for (int64_t i = 0; i < count; i += 16)
            *(halves16 *)(result + i) = nearest_of_sums(*(const words16 *)(sums + i));
    else if (ending->scale == 1 && ending->function != TABLE)
        for (int64_t i = 0; i < count; i += 16) {
            words16 own = __builtin_elementwise_max(*(const words16 *)(sums + i), lowest);
            *(halves16 *)(result + i) = nearest_of_sums(__builtin_elementwise_min(own, highest));
        }
    else
        for (int64_t i = 0; i < count; i += 16)
            *(halves16 *)(result + i) = end_sum(ending, *(const words16 *)(sums + i));
}

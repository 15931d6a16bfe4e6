// fp16 as the engine reads and writes it: `numerics/definition/fp16.py` in C, for sixteen numbers at once.
#pragma once

#include "engine.h"
#include "simd.h"

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}

static inline float larger(float a, float b) { return a > b ? a : b; }

// The value of a word; exponent 31 is an ordinary exponent, subnormals keep their value.
static inline float value_of(half word) {
    return float_of((uint32_t)((int32_t)(int16_t)word << 13) & 0x8FFFE000u) * 0x1p112f;
}

INLINE floats16 values_of(halves16 words) {
    words16 bits = __builtin_convertvector((shorts16)words, words16) << 13 & ALL16(0x8FFFE000);
    return (floats16)bits * 0x1p112f;
}

// The exponent of a word; subnormals and zero count as -14.
static inline int exponent_of(half word) {
    int field = word >> 10 & 31;
    return (field ? field : 1) - 15;
}

// Ones in the first `count` of sixteen places.
INLINE halves16 first_places(int64_t count) {
    const shorts16 places = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return (halves16)(places < (shorts16){} + (int16_t)most(least(count, 16), 0));
}

INLINE words16 chosen(words16 which, words16 yes, words16 no) { return (which & yes) | (~which & no); }

INLINE floats16 chosen_floats(words16 which, floats16 yes, floats16 no) {
    return (floats16)chosen(which, (words16)yes, (words16)no);
}

#if defined(__F16C__) || defined(__aarch64__)
typedef _Float16 natives16 __attribute__((vector_size(32), aligned(2), may_alias));

// Words of values that are zero or at most 65536, ties away from zero; and of any, ties to even. The processor rounds ties to even; a 1 in the last of the 24 bits
// makes more than a tie of each tie, and changes no other result.
INLINE halves16 narrowed(words16 bits) {
    return (halves16)__builtin_convertvector((floats16)(bits | 1), natives16);
}

INLINE halves16 nearest_even(floats16 values) { return (halves16)__builtin_convertvector(values, natives16); }
#else
INLINE halves16 narrowed(words16 bits) {
    words16 magnitude = bits & ALL16(0x7FFFFFFF), small = magnitude < ALL16(113 << 23);
    floats16 steps = (floats16)(magnitude & small) * 0x1p24f;
    words16 subnormal = __builtin_convertvector(steps + 0.49999997f, words16);  // below 1/2: a tie then gives 1
    words16 normal = (magnitude + ALL16(0x1000) - ALL16(112 << 23)) >> 13;
    return __builtin_convertvector(chosen(small, subnormal, normal) | (bits >> 16 & ALL16(0x8000)), halves16);
}

INLINE halves16 nearest_even(floats16 values) {
    words16 bits = (words16)values, magnitude = bits & ALL16(INT32_MAX);
    words16 normal = (magnitude + ALL16(0xFFF) + (magnitude >> 13 & 1) - ALL16(112 << 23)) >> 13;
    words16 subnormal = (words16)((floats16)magnitude + 0.5f) - ALL16(126 << 23);  // rounded to 2^-24
    words16 word = chosen(magnitude < ALL16(113 << 23), subnormal, normal);
    word = chosen(magnitude >= ALL16(0x477FF000), ALL16(0x7C00), word);
    word = chosen(magnitude > ALL16(0x7F800000), ALL16(0x7E00), word);
    return __builtin_convertvector(word | (bits >> 16 & ALL16(0x8000)), halves16);
}
#endif

// Words of the nearest fp16 values, ties away from zero; never minus zero, never NaN.
INLINE halves16 nearest(floats16 values) {
    words16 bits = (words16)values, magnitude = bits & ALL16(0x7FFFFFFF);
    words16 sign = bits & ALL16(INT32_MIN) & (magnitude <= ALL16(0x7F800000));
    halves16 words = narrowed(__builtin_elementwise_min(magnitude, ALL16(0x47800000)) | sign);  // 65536 is infinite
    return words & (halves16)(words != 0x8000);
}

// Through fp16 and back.
INLINE floats16 rounded(floats16 values) { return values_of(nearest(values)); }

// As float32, after the magnitude is cut to 24 bits: what is cut off never decides how a tie away from zero ends.
INLINE floats16 cut(doubles16 values) {
    return __builtin_convertvector((doubles16)((longs16)values & ~(longs16){} << 29), floats16);
}

INLINE floats16 positive(floats16 values) { return (floats16)((words16)values & (values > (floats16){})); }

// Words of values that are left as they are: a source may hold minus zero and exponent 31, a result does not.
static inline half passed(half word) {
    half huge = word & 0xFC00u;
    word = (word & 0x7C00u) == 0x7C00u ? huge : word;
    return word == 0x8000u ? 0 : word;
}

// Copies words that are often only a few.
INLINE void copy_words(half *to, const half *from, int64_t count) {
    if (count >= 16) {
        __builtin_memcpy(to, from, 2 * (size_t)count);
    } else if (count >= 8) {
        halves8 first = *(const halves8 *)from, last = *(const halves8 *)(from + count - 8);
        *(halves8 *)to = first, *(halves8 *)(to + count - 8) = last;
    } else if (count >= 4) {
        uint64_t first, last;
        __builtin_memcpy(&first, from, 8), __builtin_memcpy(&last, from + count - 4, 8);
        __builtin_memcpy(to, &first, 8), __builtin_memcpy(to + count - 4, &last, 8);
    } else {
        for (int64_t i = 0; i < count; i++) to[i] = from[i];
    }
}

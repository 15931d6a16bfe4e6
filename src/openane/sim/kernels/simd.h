// Vectors of the instruction set that this file is compiled for.
#pragma once

#include <stdint.h>

#if defined(__AVX512F__)
enum { WIDTH = 16, VECTORS = 3, ROWS = 8, MASKED_ROWS = 4 };
#elif defined(__AVX2__)
enum { WIDTH = 8, VECTORS = 2, ROWS = 4, MASKED_ROWS = 2 };
#elif defined(__aarch64__)
enum { WIDTH = 4, VECTORS = 4, ROWS = 4, MASKED_ROWS = 4 };
#else
enum { WIDTH = 4, VECTORS = 2, ROWS = 4, MASKED_ROWS = 2 };
#endif

typedef float floats __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef int32_t words __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

// Sixteen of each, whatever a register holds.
typedef float floats16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t words16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef double doubles16 __attribute__((vector_size(128), aligned(8), may_alias));
typedef int64_t longs16 __attribute__((vector_size(128), aligned(8), may_alias));
typedef int16_t shorts16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint16_t halves16 __attribute__((vector_size(32), aligned(2), may_alias));
typedef int8_t bytes16 __attribute__((vector_size(16), aligned(1), may_alias));
typedef int8_t bytes64 __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint16_t halves8 __attribute__((vector_size(16), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define ALL16(number) ((words16){} + (int32_t)(number))

// One half of a unit of the accumulator must not be lost on the way: the product is exact and the sum is rounded once
// where multiply-add is one instruction; elsewhere the product is made larger by less than its own last bit.
#if defined(__FMA__) || defined(__aarch64__)
enum { FUSED = 1 };
INLINE floats multiply_add(floats a, floats b, floats c) { return __builtin_elementwise_fma(a, b, c); }
#else
enum { FUSED = 0 };
INLINE floats multiply_add(floats a, floats b, floats c) { return a * b + c; }
#endif

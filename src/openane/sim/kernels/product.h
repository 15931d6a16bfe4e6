// Sums of products in the accumulator of the MAC array: the definition for doubles, and the way that is fast.
//
// A product, in steps of 2^-16, is added to a number so large that float32 has no place after its binary point: the
// processor rounds it, and the bits of the result count steps. Two details make this the rounding of the engine. The
// product of two words has 22 bits. One factor has a 1 in its last bit, the 24th, which makes the exact product larger
// by less than its own last bit: a tie goes away from zero, and nothing else changes. And products that the engine
// drops are taken out, where a comparison of the smallest exponents of a step finds that there may be some.
#pragma once

#include "number.h"

#define LARGE 0x1.8p23f
enum { LARGE_BITS = 0x4B400000 };
#define MOST_STEPS 0x1p22f  // of a product that is rounded in this way
enum { NOTHING = 50, DROPPED = -17, NEVER = -128, ZEROS = NOTHING - 14 };  // the exponent of zeros; sums of exponents

// One side of the product for a block of steps: TILE rows ...
struct tile {
    float factors[STEPS * TILE + TILE];  // in steps of the accumulator
    float least[STEPS * TILE + TILE];    // the other factor is dropped below it
    int8_t exponents[STEPS + 64];  // the smallest one of each step
    float sizes[TILE];            // sums of the magnitudes, over all blocks
    float largest;                // magnitude of this block
};

// ... and PANEL columns.
struct panel {
    float factors[STEPS * PANEL];
    int8_t exponents[STEPS + 64];
    float largest;
};

// Where `count` words of each step are. As many may be read as a panel has; the others count as zero.
struct lines {
    const half *from[STEPS];
    int64_t steps, count;
};

// Below which magnitude the other factor is dropped: E(x) + E(w) <= -17. Exponents are -14 at least.
static inline float least_beside(half word) {
    int exponent = exponent_of(word);
    return exponent >= -2 ? 0.0f : float_of((uint32_t)(127 - 16 - exponent) << 23);
}

INLINE floats16 least_beside_values(floats16 values) {
    words16 lowest = (words16){} + (113 << 23), exponents = (words16)values & ((words16){} + 0x7F800000);
    exponents = __builtin_elementwise_max(exponents, lowest);
    words16 least = (words16){} + (int32_t)(238u << 23) - exponents;
    return (floats16)(least & (exponents < (words16){} + (125 << 23)));
}

// The exponent of the smallest magnitude of a step that is not zero; magnitudes count from -1, where zero is the largest.
INLINE int8_t exponent_of_least(uint16_t magnitude) {
    int field = (uint16_t)(magnitude + 1) >> 10;
    int exponent = (field > 1 ? field : 1) - 15;
    return (int8_t)(magnitude == 0xFFFF ? NOTHING : exponent);
}

INLINE uint16_t least_of(halves16 words) {
    halves8 low = __builtin_shufflevector(words, words, 0, 1, 2, 3, 4, 5, 6, 7);
    halves8 high = __builtin_shufflevector(words, words, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_reduce_min(__builtin_elementwise_min(low, high));
}

// Reads TILE words of each step, which follow one another. Sums of float32 need no exponents: `exact` is 0.
static void read_tile(struct tile *tile, const half *words, int64_t steps, int exact) {
    const halves16 sign = (halves16){} + 0x7FFF;
    const words16 nudge = (words16){} + (exact && FUSED);
    halves16 highest = {};
    floats16 sizes = {};
    for (int64_t i = 0; i < steps * TILE; i += 16) {
        halves16 own = *(const halves16 *)(words + i);
        if (steps * TILE - i < 16) own = __builtin_shufflevector(own, (halves16){}, 0, 1, 2, 3, 4, 5, 6, 7, 16, 16, 16, 16, 16, 16, 16, 16);
        halves16 magnitudes = own & sign, less = magnitudes - 1;
        floats16 values = values_of(own);
        words16 used = values != (floats16){};
        *(floats16 *)(tile->factors + i) = (floats16)((words16)(values * 0x1p16f) | (nudge & used));
        sizes += __builtin_elementwise_abs(values);
        highest = __builtin_elementwise_max(highest, magnitudes);
        if (!exact) continue;
        *(floats16 *)(tile->least + i) = least_beside_values(values);
        halves8 low = __builtin_shufflevector(less, less, 0, 1, 2, 3, 4, 5, 6, 7);
        halves8 high = __builtin_shufflevector(less, less, 8, 9, 10, 11, 12, 13, 14, 15);
        tile->exponents[i / TILE] = exponent_of_least(__builtin_reduce_min(low));
        tile->exponents[i / TILE + 1] = exponent_of_least(__builtin_reduce_min(high));
    }
    for (int i = 0; i < 16; i++) tile->sizes[i % TILE] += sizes[i];
    tile->largest = value_of(__builtin_reduce_max(highest));
}

// `sizes`, if given, counts the magnitudes of each column over all blocks.
static void read_panel(struct panel *panel, const struct lines *lines, float *sizes, int exact) {
    const halves16 sign = (halves16){} + 0x7FFF;
    halves16 inside[PANEL / 16], highest = {};
    floats16 all[PANEL / 16] = {};
    for (int v = 0; v < PANEL / 16; v++) inside[v] = first_places(lines->count - 16 * v);
    for (int64_t k = 0; k < lines->steps; k++) {
        const halves16 *from = (const halves16 *)lines->from[k];
        halves16 lowest = (halves16){} + 0xFFFF;
        UNROLL for (int v = 0; v < PANEL / 16; v++) {
            halves16 own = from[v] & inside[v], magnitudes = own & sign;
            floats16 values = values_of(own);
            *(floats16 *)(panel->factors + k * PANEL + 16 * v) = values;
            if (sizes) all[v] += __builtin_elementwise_abs(values);
            lowest = __builtin_elementwise_min(lowest, magnitudes - 1);
            highest = __builtin_elementwise_max(highest, magnitudes);
        }
        if (exact) panel->exponents[k] = exponent_of_least(least_of(lowest));
    }
    if (sizes)
        for (int v = 0; v < PANEL / 16; v++) *(floats16 *)(sizes + 16 * v) += all[v];
    panel->largest = value_of(__builtin_reduce_max(highest));
}

// Steps by what may happen in them.
struct choice {
    uint8_t plain[STEPS + 8], masked[STEPS + 8];
    int64_t plain_count, masked_count;
};

INLINE int64_t append(uint8_t *list, int64_t count, uint64_t flags, int64_t first) {
    uint64_t byte = (flags & 0x0101010101010101u) * 0x0102040810204080u >> 56;
    uint64_t places = openane_places[byte] + (uint64_t)first * 0x0101010101010101u;
    __builtin_memcpy(list + count, &places, 8);
    return count + __builtin_popcountll(byte);
}

// Which steps have exponents whose sum may be `dropped` or less, and which have not; steps of zeros are in neither list.
static void choose(struct choice *choice, const int8_t *rows, const int8_t *columns, int64_t steps, int dropped) {
    const bytes64 limit = (bytes64){} + (int8_t)dropped, zeros = (bytes64){} + (int8_t)ZEROS;
    choice->plain_count = choice->masked_count = 0;
    for (int64_t first = 0; first < steps; first += 64) {
        bytes64 sums = *(const bytes64 *)(rows + first) + *(const bytes64 *)(columns + first), masked = sums <= limit;
        bytes64 plain = ~masked & (sums < zeros);
        uint64_t plain_flags[8], masked_flags[8], left = least(64, steps - first);
        __builtin_memcpy(plain_flags, &plain, 64);
        __builtin_memcpy(masked_flags, &masked, 64);
        for (uint64_t k = 0; k < left; k += 8) {
            uint64_t inside = left - k < 8 ? ~0ull >> 8 * (8 - left + k) : ~0ull;
            choice->plain_count = append(choice->plain, choice->plain_count, plain_flags[k / 8] & inside, first + k);
            choice->masked_count = append(choice->masked, choice->masked_count, masked_flags[k / 8] & inside, first + k);
        }
    }
}

enum { MOST_VECTORS = 8 };  // of a block of one row
enum how { PLAIN, MASKED, WIDE, FLOATS };

struct product {
    const float *rows, *least, *columns;  // of the first step
    int64_t row_pitch;                    // floats from a step to the next in `rows` and `least`
    const int32_t *column_steps;          // where the columns of each step begin
    const uint8_t *steps;                 // which ones, at most STEPS
    int64_t count;
    int32_t *sums;                        // lines of PANEL; float32 for FLOATS
};

INLINE words magnitude_of(floats x) { return (words)x & ((words){} + 0x7FFFFFFF); }

// One product of each lane, added to the sum.
INLINE words add_product(words sum, float factor, float least, floats x, enum how how) {
    if (how == FLOATS) return (words)multiply_add((floats){} + factor, x, (floats)sum);
    if (how == MASKED || how == WIDE) x = (floats)((words)x & ((floats)magnitude_of(x) >= (floats){} + least));
    if (how == WIDE) {
        floats exact = ((floats){} + float_of(bits_of(factor) & ~1u)) * x;
        floats half_step = (floats)(((words)exact & ((words){} + INT32_MIN)) | ((words){} + 0x3F000000));
        return sum + __builtin_convertvector(exact + half_step, words);
    }
    floats steps = (floats){} + factor;
    if (FUSED) return sum + (words)multiply_add(steps, x, (floats){} + LARGE);
    return sum + (words)(steps * x * 0x1.000002p0f + LARGE);
}

// Adds to `rows` x `vectors` vectors of sums, which stay in registers.
INLINE void multiply_block(const struct product *product, int rows, int vectors, enum how how) {
    words sums[ROWS][MOST_VECTORS];
    int32_t offset = how == PLAIN || how == MASKED ? (int32_t)((uint32_t)product->count * LARGE_BITS) : 0;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[r][v] = *(const words *)(product->sums + r * PANEL + v * WIDTH) - ((words){} + offset);
    for (int64_t i = 0; i < product->count; i++) {
        int64_t step = product->steps[i];
        const float *factors = product->rows + step * product->row_pitch;
        const float *least = product->least + step * product->row_pitch;
        const floats *columns = (const floats *)(product->columns + product->column_steps[step]);
        floats x[MOST_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) x[v] = columns[v];
        UNROLL for (int r = 0; r < rows; r++)
            UNROLL for (int v = 0; v < vectors; v++)
                sums[r][v] = add_product(sums[r][v], factors[r], how == PLAIN || how == FLOATS ? 0 : least[r], x[v], how);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int v = 0; v < vectors; v++) *(words *)(product->sums + r * PANEL + v * WIDTH) = sums[r][v];
}

INLINE struct product part_of(struct product product, int64_t row, int64_t column) {
    product.rows += row;
    product.least += row;
    product.columns += column;
    product.sums += row * PANEL + column;
    return product;
}

// As many blocks of `rows` x `vectors` as there are columns for, from `column` on; returns the column after them.
INLINE int64_t multiply_blocks(
    const struct product *product, int64_t column, int64_t columns, int rows, int vectors, enum how how
) {
    for (; column + vectors * WIDTH <= columns; column += vectors * WIDTH) {
        struct product part = part_of(*product, 0, column);
        multiply_block(&part, rows, vectors, how);
    }
    return column;
}

#define MULTIPLY(name, how, most_rows)                                                                                 \
    static void name(const struct product *product, int64_t rows, int64_t columns) {                                   \
        int64_t column = 0;                                                                                            \
        if (rows == 1) {                                                                                               \
            column = multiply_blocks(product, column, columns, 1, 8, how);                                             \
            column = multiply_blocks(product, column, columns, 1, 4, how);                                             \
            column = multiply_blocks(product, column, columns, 1, 2, how);                                             \
            multiply_blocks(product, column, columns, 1, 1, how);                                                      \
            return;                                                                                                    \
        }                                                                                                              \
        for (int64_t row = 0; row < rows; row += most_rows) {                                                          \
            struct product part = part_of(*product, row, 0);                                                           \
            column = multiply_blocks(&part, 0, columns, most_rows, VECTORS, how);                                      \
            multiply_blocks(&part, column, columns, most_rows, 1, how);                                                \
        }                                                                                                              \
    }
MULTIPLY(multiply_plain, PLAIN, ROWS)
MULTIPLY(multiply_masked, MASKED, MASKED_ROWS)
MULTIPLY(multiply_wide, WIDE, MASKED_ROWS)
MULTIPLY(multiply_floats, FLOATS, ROWS)

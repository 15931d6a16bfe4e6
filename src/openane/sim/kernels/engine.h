// What the rows of a program are, and what all kernels share. Python reads the fields of a row from `ROW_FIELDS`.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint16_t half;  // the word of an fp16 number

// One row is one piece of work. `first`, `second` and `result` are places of halfwords in the memory; strides count
// halfwords. `taps`, `starts` and `meta` are places in the integers, `numbers`, `scale` and `table` in the floats.
#define ROW_FIELDS(F)                                                                                                  \
    F(kind, 1) F(units, 1) F(blocks, 1) F(cost, 1) /* what, in how many units and blocks of units, nanoseconds */      \
    F(first, 1) F(second, 1) F(result, 1)                                                                              \
    F(first_strides, 5) F(second_strides, 5) F(result_strides, 5)                                                      \
    F(extents, 7)          /* of elementwise work: three outer axes, rows, columns; rows and columns of a tile */      \
    F(relu_in, 1) F(operation, 1) F(inputs, 1) F(input_stride, 1)                                                      \
    F(taps, 1) F(steps, 1) /* halfwords from a pixel to what step k reads, and how many steps there are */             \
    F(in_image, 1)         /* pixels are in the padded image, not in the memory */                                     \
    F(group_step, 1) F(row_step, 1) F(width, 1) /* of pixels: from group to group, from row to row, pixels in a row */ \
    F(pixels, 1) F(channels, 1) F(pixel_parts, 1) F(channel_parts, 1) F(result_width, 1)                               \
    F(swapped, 1)          /* channels are the columns of the product, pixels the rows */                               \
    F(fast, 1)             /* float32 sums */                                                                          \
    F(weights, 1) F(weights_in_memory, 1) F(weight_group, 1) F(starts, 1) F(start_group, 1)                            \
    F(function, 1) F(scale, 1) F(table, 1) F(meta, 1) /* after the sum */                                              \
    F(window, 2) F(stride, 2) F(grow, 2) F(pad, 2) F(view, 5) F(result_view, 5) F(block, 2)                            \
    F(numbers, 1) F(flags, 1) F(row_of_factors, 1) /* planar engine */

#define DECLARE(name, count) int64_t name[count];
struct row {
    ROW_FIELDS(DECLARE)
};

// The arrays of a run. `scratch` belongs to the thread.
struct arrays {
    half *memory;
    half *image;  // padded input of a dense convolution
    const half *constants;
    const float *floats;
    const int64_t *integers;
    void *scratch;
};

enum kind { CONVOLVE, DEPTHWISE, COMBINE, MAP, COPY, LOAD, PACK, ELEMENTWISE, POOL, REDUCE, KINDS };

typedef void kernel(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end);
typedef int64_t narrowing(const float *values, int64_t count, half *result);

enum {
    TILE = 8,        // rows of a product that are computed together
    PANEL = 48,      // columns
    STEPS = 128,     // steps of a sum between two visits
    TILES = 16,      // most tiles and panels of a unit: what they need stays in the second cache
    PANELS = 8,
    LINE = 2048,     // elements of planar work that are done together
    SCRATCH_BYTES = 1 << 19,
};

extern uint64_t openane_places[256];       // places of the ones in a byte
extern int32_t openane_panel_steps[STEPS];  // where the steps of a panel begin
extern uint8_t openane_every_step[STEPS];

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

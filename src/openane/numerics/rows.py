"""What the rows of the engine say: kinds of work, and the meaning of each column."""

(
    MAP,
    COPY,
    ELEMENTWISE,
    POOL,
    REDUCE,
    COMBINE,
    DEPTHWISE,
    LOAD,
    CONVOLVE,
    CONVOLVE_ROWS,
    CONVOLVE_FEW,
    CONVOLVE_TILES,
    TRANSFORM,
    PACK,
    KIND_COUNT,
) = range(15)
"""Kinds of rows: the kernel of this name does the work."""

(
    KIND,
    UNITS,
    BLOCKS,
    COST,
    FIRST,
    FIRST_STRIDES,
    SECOND,
    SECOND_STRIDES,
    EXTENTS,
    RESULT,
    RESULT_STRIDES,
    NUMBERS,
    FLAGS,
    OPERATION,
    RELU_IN,
    INPUTS,
    INPUT_STRIDE,
    SHAPE,
    SHAPE_SIZE,
    TAPS,
    TAPS_SIZE,
    FACTORS,
    FUNCTION,
    TABLE,
    META,
    BIAS,
    WEIGHTS,
    WEIGHTS_IN_MEMORY,
    WEIGHT_GROUP,
    BIAS_GROUP,
    DIRECT,
    CUT,
    GROUP_STEP,
    ROW_STEP,
    SPACING,
    WIDTH,
    RESULT_WIDTH,
    PIXELS,
    PIXEL_PARTS,
    CHANNELS,
    CHANNEL_PARTS,
    SIDE,
    FINITE,
    STRAIGHT,
    STRAIGHT_NUMBERS,
    HELD,
    HELD_SIZE,
    COLUMN_COUNT,
) = range(48)
"""Columns of a row. Places of operands count halfwords of the memory; STRIDES, EXTENTS, FLAGS, SHAPE, TAPS, META are
places in the integers; NUMBERS, FACTORS, TABLE, BIAS, HELD in the floats; WEIGHTS in constants, memory or floats."""

SCRATCH_FLOATS = (1 << 17) + (1 << 10)
SCRATCH_WORDS = 1 << 16
SCRATCH_RUNS = 512
"""Each thread's own."""

MEMORY, CONSTANTS, FLOATS, INTEGERS, IMAGE, SCRATCH, WORDS, RUNS, ARRAY_COUNT = range(9)
"""Arrays that kernels use: all operands; halfwords, floats and integers that never change; the padded input of a
convolution; and three of each thread's own."""

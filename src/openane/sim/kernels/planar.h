// The planar engine: elementwise tasks, pooling, reductions. `sim/reference/planar.py` in C, line by line.
#pragma once

#include "number.h"

enum operation { ADD, MULTIPLY, MAXIMUM, MINIMUM, SQUARED_SUM };
enum reduction { SUM, AVERAGE, LARGEST, SMALLEST };
enum planar_function { NONE, RECIPROCAL_OF, RECIPROCAL_ROOT };
enum number_place { PRE_SCALE, SCALE, BIAS, FINAL_SCALE, EPSILON };
enum flag {
    OPERATION, NEGATE_FIRST, NEGATE_SECOND, TWO_SOURCES, PAIR_OF_ROWS, ABSOLUTE, FUNCTION, RELU_LAST, RELU_FIRST, RELU_SECOND
};
enum { STRIP = 16 };  // channels that are reduced side by side

#define INFINITY_READ 65536.0f

// What a thread has for a tile.
struct operands {
    float first[LINE + 16], second[LINE + 16], factors[LINE + 16], totals[LINE + 16];
    float line[LINE + 32], all[LINE + 32], sorted[LINE + 32];  // of windows
    half words[LINE + 16];
};

struct planar {
    const struct row *row;
    const half *memory;
    const float *numbers;
    const int64_t *flags;
    struct operands *operands;
};

// A rectangle of elements: where it begins in each source, how far apart rows and columns are.
struct rectangle {
    const half *first, *second;
    int64_t first_row, first_column, second_row, second_column;
    int64_t rows, columns;
};

static struct planar planar_of(const struct row *row, const struct arrays *arrays) {
    return (struct planar){
        row, arrays->memory, arrays->floats + row->numbers[0], arrays->integers + row->flags[0], arrays->scratch,
    };
}

// Reads and writes whole vectors: what follows a row is read and written again, or not used.
static void fetch(const half *from, int64_t row_step, int64_t step, const struct rectangle *shape, float *to) {
    for (int64_t y = 0; y < shape->rows; y++, from += row_step, to += shape->columns) {
        if (step == 1)
            for (int64_t x = 0; x < shape->columns; x += 16) *(floats16 *)(to + x) = values_of(*(const halves16 *)(from + x));
        else if (step == 0)
            for (int64_t x = 0; x < shape->columns; x += 16) *(floats16 *)(to + x) = (floats16){} + value_of(*from);
        else
            for (int64_t x = 0; x < shape->columns; x++) to[x] = value_of(from[x * step]);
    }
}

static void rectify(float *line, int64_t count) {
    for (int64_t i = 0; i < count; i++) line[i] = larger(line[i], 0);
}

static void multiply_by(float *line, int64_t count, float factor) {
    if (factor == 1) return;
    for (int64_t i = 0; i < count; i++) line[i] *= factor;
}

static void join(float *restrict a, const float *restrict b, int64_t count, enum operation operation) {
    switch (operation) {
    case ADD:
    case SQUARED_SUM:
        for (int64_t i = 0; i < count; i++) a[i] = a[i] + b[i];
        break;
    case MULTIPLY:
        for (int64_t i = 0; i < count; i++) a[i] = a[i] * b[i];
        break;
    case MAXIMUM:
        for (int64_t i = 0; i < count; i++) a[i] = b[i] > a[i] ? b[i] : a[i];
        break;
    case MINIMUM:
        for (int64_t i = 0; i < count; i++) a[i] = b[i] < a[i] ? b[i] : a[i];
        break;
    }
}

// Both sources of a rectangle, joined, in `operands->first`.
static void fetch_joined(const struct planar *own, const struct rectangle *shape) {
    struct operands *operands = own->operands;
    const int64_t *flags = own->flags;
    float *a = operands->first, *b = operands->second, *factors = operands->factors;
    int64_t count = shape->rows * shape->columns;
    float pre_scale = own->numbers[PRE_SCALE];
    fetch(shape->first, shape->first_row, shape->first_column, shape, a);
    if (flags[RELU_FIRST]) rectify(a, count);
    multiply_by(a, count, flags[NEGATE_FIRST] ? -pre_scale : pre_scale);
    if (flags[TWO_SOURCES]) {
        fetch(shape->second, shape->second_row, shape->second_column, shape, b);
        if (flags[RELU_SECOND]) rectify(b, count);
        multiply_by(b, count, flags[NEGATE_SECOND] ? -1 : 1);
        join(a, b, count, (enum operation)flags[OPERATION]);
    }
    if (flags[OPERATION] == SQUARED_SUM)
        for (int64_t i = 0; i < count; i++) a[i] = a[i] * a[i];
    if (flags[PAIR_OF_ROWS]) {
        fetch(shape->second + own->row->row_of_factors[0], shape->second_row, shape->second_column, shape, factors);
        join(a, factors, count, MULTIPLY);
    }
    if (flags[ABSOLUTE])
        for (int64_t i = 0; i < count; i++) a[i] = __builtin_fabsf(a[i]);
}

// From joined or reduced values to words.
static void finish(const struct planar *own, float *line, int64_t count, half *words) {
    const float *numbers = own->numbers;
    float scale = numbers[SCALE], bias = numbers[BIAS], final = numbers[FINAL_SCALE], epsilon = numbers[EPSILON];
    if (scale != 1 || bias != 0)
        for (int64_t i = 0; i < count; i++) line[i] = line[i] * scale + bias;
    if (final != 1 || epsilon != 0)
        for (int64_t i = 0; i < count; i++) line[i] = line[i] * final + epsilon;
    if (own->flags[FUNCTION] == RECIPROCAL_OF)
        for (int64_t i = 0; i < count; i++) line[i] = line[i] == 0 ? INFINITY_READ : 1 / line[i];
    if (own->flags[FUNCTION] == RECIPROCAL_ROOT)
        for (int64_t i = 0; i < count; i++) line[i] = line[i] <= 0 ? INFINITY_READ : 1 / __builtin_sqrtf(line[i]);
    if (own->flags[RELU_LAST]) rectify(line, count);
    for (int64_t i = 0; i < count; i += 16) *(halves16 *)(words + i) = nearest(*(const floats16 *)(line + i));
}

// Index of the first element of a tile of elementwise work on each axis, and the rows and columns of the tile.
struct place {
    int64_t index[5], rows, columns;
};

static struct place locate(const struct row *row, int64_t unit) {
    const int64_t *extents = row->extents;
    int64_t across = parts(extents[4], extents[6]), down = parts(extents[3], extents[5]);
    struct place place;
    place.index[4] = unit % across * extents[6];
    unit /= across;
    place.index[3] = unit % down * extents[5];
    unit /= down;
    for (int axis = 2; axis >= 0; axis--) place.index[axis] = unit % extents[axis], unit /= extents[axis];
    place.rows = least(extents[5], extents[3] - place.index[3]);
    place.columns = least(extents[6], extents[4] - place.index[4]);
    return place;
}

static int64_t offset(const struct place *place, const int64_t *strides) {
    int64_t sum = 0;
    for (int axis = 0; axis < 5; axis++) sum += place->index[axis] * strides[axis];
    return sum;
}

static void store(half *to, const int64_t *strides, const struct place *place, const half *words) {
    for (int64_t y = 0; y < place->rows; y++, to += strides[3], words += place->columns)
        if (strides[4] == 1) copy_words(to, words, place->columns);
        else
            for (int64_t x = 0; x < place->columns; x++) to[x * strides[4]] = words[x];
}

static void elementwise(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    struct planar own = planar_of(row, arrays);
    const int64_t *s1 = row->first_strides, *s2 = row->second_strides, *so = row->result_strides;
    for (int64_t unit = begin; unit < end; unit++) {
        struct place place = locate(row, unit);
        struct rectangle shape = {
            arrays->memory + row->first[0] + offset(&place, s1), arrays->memory + row->second[0] + offset(&place, s2),
            s1[3], s1[4], s2[3], s2[4], place.rows, place.columns,
        };
        fetch_joined(&own, &shape);
        finish(&own, own.operands->first, place.rows * place.columns, own.operands->words);
        store(arrays->memory + row->result[0] + offset(&place, so), so, &place, own.operands->words);
    }
}

static float empty_value(enum reduction kind) {
    return kind == LARGEST ? -__builtin_inff() : kind == SMALLEST ? __builtin_inff() : 0;
}

INLINE floats16 joined(floats16 total, floats16 value, enum reduction kind) {
    if (kind == LARGEST) return chosen_floats(value > total, value, total);
    return kind == SMALLEST ? chosen_floats(value < total, value, total) : total + value;
}

// Joins values to the totals, in whole vectors.
static void join_totals(float *totals, const float *from, int64_t count, enum reduction kind) {
    for (int64_t i = 0; i < count; i += 16) {
        floats16 *total = (floats16 *)(totals + i), value = *(const floats16 *)(from + i);
        *total = joined(*total, value, kind);
    }
}

// Joins every `step`-th value.
static void join_spread(float *restrict totals, const float *restrict from, int64_t step, int64_t count, enum reduction kind) {
    if (kind == LARGEST)
        for (int64_t i = 0; i < count; i++) totals[i] = from[i * step] > totals[i] ? from[i * step] : totals[i];
    else if (kind == SMALLEST)
        for (int64_t i = 0; i < count; i++) totals[i] = from[i * step] < totals[i] ? from[i * step] : totals[i];
    else
        for (int64_t i = 0; i < count; i++) totals[i] += from[i * step];
}

// Reads what a row of windows finds in a row of the source, from column `left` on; the rest is empty.
static void read_windows(const struct planar *own, const struct rectangle *at, int64_t y, int64_t left, float *line) {
    const struct row *row = own->row;
    int64_t reach = at->columns, first = least(most(left, 0), left + reach), end = least(left + reach, row->view[4]);
    float empty = empty_value((enum reduction)row->operation[0]);
    struct rectangle shape = *at;
    shape.first += y * at->first_row + first * at->first_column;
    shape.second += y * at->second_row + first * at->second_column;
    shape.rows = 1, shape.columns = most(end - first, 0);
    if (shape.columns) fetch_joined(own, &shape);
    for (int64_t x = 0; x < first - left; x++) line[x] = empty;
    __builtin_memcpy(line + first - left, own->operands->first, sizeof(float) * (size_t)shape.columns);
    for (int64_t x = first - left + shape.columns; x < reach; x++) line[x] = empty;
}

// Joins the columns of windows of a line to the totals. Its columns are sorted by their place in a step first.
static void join_columns(const struct planar *own, const float *line, int64_t count) {
    const struct row *row = own->row;
    enum reduction kind = (enum reduction)row->operation[0];
    float *totals = own->operands->totals, *sorted = own->operands->sorted;
    int64_t step = row->stride[1], length = LINE / 2 + 16;
    if (step == 2) {
        for (int64_t i = 0; i < count + row->window[1] / 2; i += 16) {
            floats16 low = *(const floats16 *)(line + 2 * i), high = *(const floats16 *)(line + 2 * i + 16);
            *(floats16 *)(sorted + i) =
                __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            *(floats16 *)(sorted + length + i) =
                __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        }
        for (int64_t column = 0; column < row->window[1]; column++)
            join_totals(totals, sorted + column % 2 * length + column / 2, count, kind);
        return;
    }
    for (int64_t column = 0; column < row->window[1]; column++)
        if (step == 1) join_totals(totals, line + column, count, kind);
        else join_spread(totals, line + column, step, count, kind);
}

// All rows of windows from `top` on. Extremes do not depend on the order: rows are joined first.
static void join_rows(const struct planar *own, const struct rectangle *at, int64_t top, int64_t left, int64_t count) {
    const struct row *row = own->row;
    int extreme = row->operation[0] >= LARGEST;
    float *line = own->operands->line, *all = own->operands->all;
    int64_t y_first = most(top, 0), y_end = least(top + row->window[0], row->view[3]);
    for (int64_t x = 0; x < at->columns; x++) all[x] = empty_value((enum reduction)row->operation[0]);
    for (int64_t y = y_first; y < y_end; y++) {
        read_windows(own, at, y, left, line);
        if (extreme) join_totals(all, line, at->columns, (enum reduction)row->operation[0]);
        else join_columns(own, line, count);
    }
    if (extreme) join_columns(own, all, count);
}

// A unit is a row of results, or a part of it.
static void pool(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    struct planar own = planar_of(row, arrays);
    const int64_t *s1 = row->first_strides, *s2 = row->second_strides, *so = row->result_strides;
    float *totals = own.operands->totals;
    for (int64_t unit = begin; unit < end; unit++) {
        struct place place = locate(row, unit);
        const int64_t *index = place.index;
        int64_t top = index[3] * row->stride[0] - row->pad[0], left = index[4] * row->stride[1] - row->pad[1];
        struct rectangle at = {
            arrays->memory + row->first[0] + index[0] * s1[0] + index[1] * s1[1] + index[2] * s1[2],
            arrays->memory + row->second[0] + index[0] * s2[0] + index[1] * s2[1] + index[2] * s2[2],
            s1[3], s1[4], s2[3], s2[4], 0, (place.columns - 1) * row->stride[1] + row->window[1],
        };
        for (int64_t x = 0; x < place.columns; x++) totals[x] = empty_value((enum reduction)row->operation[0]);
        join_rows(&own, &at, top, left, place.columns);
        int64_t rows = most(least(top + row->window[0], row->view[3]) - most(top, 0), 0);
        if (row->operation[0] == AVERAGE)
            for (int64_t x = 0; x < place.columns; x++) {
                int64_t first = left + x * row->stride[1], last = least(first + row->window[1], row->view[4]);
                totals[x] /= (float)most(most(last - most(first, 0), 0) * rows, 1);
            }
        finish(&own, totals, place.columns, own.operands->words);
        store(arrays->memory + row->result[0] + offset(&place, so), so, &place, own.operands->words);
    }
}

// Joins a run of positions of some channels to their totals, position by position. `side_by_side`: channels are columns.
static void reduce_run(const struct planar *own, struct rectangle shape, float *totals, int side_by_side) {
    enum reduction kind = (enum reduction)own->row->operation[0];
    fetch_joined(own, &shape);
    const float *values = own->operands->first;
    if (side_by_side)
        for (int64_t y = 0; y < shape.rows; y++) join_totals(totals, values + y * shape.columns, shape.columns, kind);
    else
        for (int64_t x = 0; x < shape.columns; x++) join_spread(totals, values + x, shape.columns, shape.rows, kind);
}

// Everything of depth, height and width of each channel; STRIP channels, or groups where there are more, are a unit.
static void reduce(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    struct planar own = planar_of(row, arrays);
    const int64_t *s1 = row->first_strides, *s2 = row->second_strides, *so = row->result_strides, *view = row->view;
    int along = view[2] >= view[0] ? 2 : 0, other = 2 - along;
    int64_t strips = parts(view[along], STRIP), height = view[3], width = view[4];
    if (s1[3] == width * s1[4] && s2[3] == width * s2[4]) width *= height, height = 1;
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t outer = unit / strips, lane = unit % strips * STRIP, count = least(STRIP, view[along] - lane);
        const half *first = arrays->memory + row->first[0] + outer * s1[other] + lane * s1[along];
        const half *second = arrays->memory + row->second[0] + outer * s2[other] + lane * s2[along];
        float totals[STRIP];  // a whole vector
        for (int64_t i = 0; i < STRIP; i++) totals[i] = empty_value((enum reduction)row->operation[0]);
        for (int64_t line = 0; line < view[1] * height; line++)
            for (int64_t x = 0; x < width; x += LINE / STRIP) {
                int64_t d = line / height, y = line % height, run = least(LINE / STRIP, width - x);
                const half *a = first + d * s1[1] + y * s1[3] + x * s1[4];
                const half *b = second + d * s2[1] + y * s2[3] + x * s2[4];
                struct rectangle channels_in_rows = {a, b, s1[along], s1[4], s2[along], s2[4], count, run};
                struct rectangle channels_in_columns = {a, b, s1[4], s1[along], s2[4], s2[along], run, count};
                if (s1[along] == 1) reduce_run(&own, channels_in_columns, totals, 1);
                else reduce_run(&own, channels_in_rows, totals, 0);
            }
        if (row->operation[0] == AVERAGE)
            for (int64_t i = 0; i < count; i++) totals[i] /= (float)(view[1] * view[3] * view[4]);
        finish(&own, totals, count, own.operands->words);
        half *to = arrays->memory + row->result[0] + outer * so[other] + lane * so[along];
        for (int64_t i = 0; i < count; i++) to[i * so[along]] = own.operands->words[i];
    }
}

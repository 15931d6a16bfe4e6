// Work that moves words, or makes one word of one word or of a few channels.
#pragma once

#include "ending.h"
#include "planar.h"

enum copied { AS_IT_IS, PASSED, RECTIFIED };

INLINE half moved(half word, enum copied how) {
    if (how == RECTIFIED && word & 0x8000u) return 0;
    return how == AS_IT_IS ? word : passed(word);
}

INLINE void copy_tile(half *to, const half *from, const struct row *row, const struct place *place, enum copied how) {
    const int64_t *s = row->first_strides, *so = row->result_strides;
    for (int64_t y = 0; y < place->rows; y++, to += so[3], from += s[3])
        if (s[4] == 1 && so[4] == 1)
            for (int64_t x = 0; x < place->columns; x++) to[x] = moved(from[x], how);
        else
            for (int64_t x = 0; x < place->columns; x++) to[x * so[4]] = moved(from[x * s[4]], how);
}

static void copy(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) {
        struct place place = locate(row, unit);
        const half *from = arrays->memory + row->first[0] + offset(&place, row->first_strides);
        half *to = arrays->memory + row->result[0] + offset(&place, row->result_strides);
        if (row->operation[0] == AS_IT_IS) copy_tile(to, from, row, &place, AS_IT_IS);
        else if (row->operation[0] == PASSED) copy_tile(to, from, row, &place, PASSED);
        else copy_tile(to, from, row, &place, RECTIFIED);
    }
}

// A function of one word, whose result for every word is in the memory.
static void map(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    const half *results = arrays->memory + row->weights[0];
    const int64_t *s = row->first_strides, *so = row->result_strides;
    for (int64_t unit = begin; unit < end; unit++) {
        struct place place = locate(row, unit);
        const half *from = arrays->memory + row->first[0] + offset(&place, s);
        half *to = arrays->memory + row->result[0] + offset(&place, so);
        for (int64_t y = 0; y < place.rows; y++, to += so[3], from += s[3])
            if (s[4] == 1 && so[4] == 1)
                for (int64_t x = 0; x < place.columns; x++) to[x] = results[from[x]];
            else
                for (int64_t x = 0; x < place.columns; x++) to[x * so[4]] = results[from[x * s[4]]];
    }
}

enum combination { COMBINED_SUM, COMBINED_PRODUCT, COMBINED_MAXIMUM };

// The MAC engine without weights: an element of the result joins `inputs` channels in float32, then comes AccBias.
static void combine(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    static const enum operation operations[] = {ADD, MULTIPLY, MAXIMUM};
    struct operands *operands = arrays->scratch;
    const struct ending ending = ending_of(row, arrays);
    const float bias = arrays->floats[row->numbers[0]];
    const int64_t *s = row->first_strides, *so = row->result_strides;
    for (int64_t unit = begin; unit < end; unit++) {
        struct place place = locate(row, unit);
        struct rectangle shape = {.rows = place.rows, .columns = place.columns};
        const half *from = arrays->memory + row->first[0] + offset(&place, s);
        int64_t count = place.rows * place.columns;
        for (int64_t u = 0; u < row->inputs[0]; u++) {
            float *line = u ? operands->second : operands->first;
            fetch(from + u * row->input_stride[0], s[3], s[4], &shape, line);
            if (row->relu_in[0]) rectify(line, count);
            if (u) join(operands->first, operands->second, count, operations[row->operation[0]]);
        }
        for (int64_t first = 0; first < count; first += PANEL) {
            double values[PANEL] = {0};
            int64_t some = least(PANEL, count - first);
            for (int64_t i = 0; i < some; i++) {
                float value = operands->first[first + i] + bias;
                int finite = __builtin_fabsf(value) <= __FLT_MAX__;
                values[i] = finite ? value : value < 0 ? -INFINITE : INFINITE;
            }
            end_values(&ending, values, some, operands->words + first);
        }
        store(arrays->memory + row->result[0] + offset(&place, so), so, &place, operands->words);
    }
}

// A row of the padded input of a dense convolution. Its columns are sorted by their place in a step of the window, so
// that pixels are adjacent whatever the stride.
static void load_line(const struct row *row, const half *from, half *to, int64_t width) {
    int64_t step = row->stride[1], grow = row->grow[1], pad = row->pad[1], stride = row->first_strides[4];
    int64_t part = width / step, count = row->view[4];
    if (step == 1 && grow == 1 && stride == 1) {
        __builtin_memcpy(to + pad, from, 2 * (size_t)least(count, width - pad));
        return;
    }
    if (grow > 1) {
        for (int64_t x = 0; x < count && x * grow + pad < width; x++) to[x * grow + pad] = from[x * stride];
        return;
    }
    for (int64_t phase = 0; phase < step; phase++, to += part) {
        int64_t first = phase < pad ? parts(pad - phase, step) : 0, end = least(part, parts(count + pad - phase, step));
        const half *place = from + (phase - pad) * stride;
        for (int64_t i = first; i < end; i++) to[i] = place[i * step * stride];
    }
}

// Rows of the padded input; a unit is one.
static void load(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    const int64_t *s = row->first_strides, *view = row->view;
    int64_t height = row->block[0], width = row->block[1];
    for (int64_t unit = begin; unit < end; unit++) {
        int64_t y = unit % height - row->pad[0], channel = unit / height % view[2], group = unit / height / view[2];
        half *to = arrays->image + unit * width;
        __builtin_memset(to, 0, 2 * (size_t)width);
        if (y < 0 || y % row->grow[0] || y / row->grow[0] >= view[3]) continue;
        int64_t from = row->first[0] + group * s[0] + channel * s[2] + y / row->grow[0] * s[3];
        load_line(row, arrays->memory + from, to, width);
        if (row->relu_in[0])
            for (int64_t x = 0; x < width; x++) to[x] = to[x] & 0x8000u ? 0 : to[x];
    }
}

// Weights that earlier rows have computed, in the order of the product; -1 where there are fewer.
static void pack(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    const int64_t *places = arrays->integers + row->taps[0];
    const half *from = arrays->memory + row->first[0];
    half *to = arrays->memory + row->result[0];
    for (int64_t i = begin; i < end; i++) to[i] = places[i] < 0 ? 0 : from[places[i]];
}

// See `openane_narrow`.
static int64_t narrow(const float *values, int64_t count, half *result) {
    words16 highest = {};
    for (int64_t first = 0; first < count; first += 16) {
        half words[16];
        float some[16] = {0};
        const float *from = values + first;
        if (count - first < 16) __builtin_memcpy(some, from, sizeof(float) * (size_t)(count - first)), from = some;
        words16 magnitude = *(const words16 *)from & ALL16(INT32_MAX);
        highest = __builtin_elementwise_max(highest, magnitude);
        halves16 found = nearest_even(*(const floats16 *)from);
        if (count - first >= 16) *(halves16 *)(result + first) = found;
        else *(halves16 *)words = found, __builtin_memcpy(result + first, words, 2 * (size_t)(count - first));
    }
    return __builtin_reduce_max(highest) < 0x477FF000;  // 65520
}

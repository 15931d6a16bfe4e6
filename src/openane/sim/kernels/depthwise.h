// Convolutions whose output channels have a few input channels of their own.
//
// A block of the padded input of one channel is read, its rows and columns sorted by their place in a step of the
// window: then neighboring results read neighboring numbers whatever the stride, and all rows of the block are one
// long line of sums, with unused ones between the rows.
#pragma once

#include "ending.h"
#include "product.h"

enum { IMAGE = 1 << 16, SUMS = 1 << 15 };  // floats of a block, sums of a unit

// What a thread has for a unit.
struct plane {
    float image[IMAGE + PANEL];
    int32_t sums[SUMS + PANEL];
    half words[SUMS + PANEL];
    struct choice choice;
    float factors[STEPS * TILE], least[STEPS * TILE];
    int32_t places[STEPS];
    int8_t exponents[STEPS + 64], lowest[STEPS + 64];
};

// The results of a unit.
struct block {
    const struct row *row;
    const struct arrays *arrays;
    int64_t group, depth, channel;
    int64_t top, left, rows, columns;  // of the results
    int64_t pitch, part;               // floats of a row of a part of the image, and of a part
};

static struct block block_of(const struct row *row, const struct arrays *arrays, int64_t unit) {
    const int64_t *result = row->result_view, *size = row->block;
    int64_t across = parts(result[4], size[1]), down = parts(result[3], size[0]);
    int64_t left = unit % across * size[1], rest = unit / across;
    int64_t top = rest % down * size[0];
    rest /= down;
    int64_t channel = rest % result[2];
    rest /= result[2];
    int64_t rows = least(size[0], result[3] - top), columns = least(size[1], result[4] - left);
    int64_t pitch = columns + (row->window[1] - 1) / row->stride[1];
    return (struct block){
        row, arrays, rest / result[1], rest % result[1], channel, top, left, rows, columns,
        pitch, pitch * (rows + (row->window[0] - 1) / row->stride[0]),
    };
}

// Every `step`-th word of a row, as numbers.
static void read_line(const half *from, int64_t step, int64_t count, int relu, float *to) {
    if (step == 1)
        for (int64_t i = 0; i < count; i++) to[i] = value_of(from[i]);
    else if (step == 2)
        for (int64_t i = 0; i < count; i++) to[i] = value_of(from[2 * i]);
    else
        for (int64_t i = 0; i < count; i++) to[i] = value_of(from[step * i]);
    if (relu)
        for (int64_t i = 0; i < count; i++) to[i] = larger(to[i], 0);
}

// One row of a part: what the windows find at column `phase` of a step.
static void fill_row(const struct block *own, const half *from, int64_t phase, float *to) {
    const struct row *row = own->row;
    int64_t step = row->stride[1], grow = row->grow[1], stride = row->first_strides[4];
    int64_t origin = own->left * step + phase - row->pad[1];  // of the source, when no zeros stand between its columns
    if (grow == 1) {
        int64_t first = origin < 0 ? parts(-origin, step) : 0;
        int64_t end = least(own->pitch, parts(row->view[4] - origin, step));
        if (first < end)
            read_line(from + (origin + first * step) * stride, step * stride, end - first, row->relu_in[0] != 0, to + first);
        return;
    }
    for (int64_t x = most(0, parts(origin, grow)); x < row->view[4] && x * grow - origin < own->pitch; x++)
        read_line(from + x * stride, 1, 1, row->relu_in[0] != 0, to + x * grow - origin);
}

static void fill_image(const struct block *own, int64_t channel, float *image) {
    const struct row *row = own->row;
    const half *plane = own->arrays->memory + row->first[0] + own->group * row->first_strides[0] +
                        own->depth * row->first_strides[1] + channel * row->first_strides[2];
    int64_t down = row->stride[0], across = row->stride[1];
    __builtin_memset(image, 0, sizeof(float) * (size_t)(own->part * down * across + PANEL));
    for (int64_t phase = 0; phase < down * across; phase++)
        for (int64_t y = 0; y * own->pitch < own->part; y++) {
            int64_t place = (own->top + y) * down + phase / across - row->pad[0];
            if (place < 0 || place % row->grow[0] || place / row->grow[0] >= row->view[3]) continue;
            const half *from = plane + place / row->grow[0] * row->first_strides[3];
            fill_row(own, from, phase % across, image + phase * own->part + y * own->pitch);
        }
}

// The smallest exponent of what is not zero, and the largest magnitude.
static int8_t survey(const float *image, int64_t count, float *largest) {
    uint32_t lowest = UINT32_MAX, highest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t magnitude = bits_of(image[i]) & 0x7FFFFFFFu, less = magnitude - 1;
        lowest = less < lowest ? less : lowest;
        highest = magnitude > highest ? magnitude : highest;
    }
    *largest = float_of(highest);
    if (lowest == UINT32_MAX) return NOTHING;
    int exponent = (int)((lowest + 1) >> 23) - 127;
    return (int8_t)(exponent < -14 ? -14 : exponent);
}

static half weight_at(const struct block *own, int64_t step) {
    const struct row *row = own->row;
    const half *weights = row->weights_in_memory[0] ? own->arrays->memory : own->arrays->constants;
    return weights[row->weights[0] + own->group * row->weight_group[0] + own->channel * row->steps[0] + step];
}

static int64_t start_of(const struct block *own) {
    const struct row *row = own->row;
    return own->arrays->integers[row->starts[0] + own->group * row->start_group[0] + own->channel];
}

// Adds the products of the steps from `first` on that read one input channel; returns a bound of their magnitudes.
static double add_steps(const struct block *own, struct plane *plane, int64_t first, int64_t count) {
    const int64_t *taps = own->arrays->integers + own->row->taps[0] + 3 * first;
    int64_t down = own->row->stride[0], across = own->row->stride[1];
    double size = 0;
    float largest, largest_weight = 0;
    fill_image(own, own->channel * own->row->inputs[0] + taps[0], plane->image);
    int8_t lowest = survey(plane->image, own->part * down * across, &largest);
    for (int64_t k = 0; k < count; k++) {
        half word = weight_at(own, first + k);
        int64_t y = taps[3 * k + 1], x = taps[3 * k + 2];
        float value = value_of(word), magnitude = __builtin_fabsf(value);
        int exact = FUSED && !own->row->fast[0] && value != 0;
        plane->factors[k * TILE] = float_of(bits_of(value * 0x1p16f) | (uint32_t)exact);
        plane->least[k * TILE] = least_beside(word);
        plane->exponents[k] = value != 0 ? (int8_t)exponent_of(word) : NOTHING;
        plane->lowest[k] = lowest;
        plane->places[k] = (int32_t)((y % down * across + x % across) * own->part + y / down * own->pitch + x / across);
        largest_weight = larger(largest_weight, magnitude);
        size += magnitude;
    }
    int wide = !(largest * largest_weight * 0x1p16f < MOST_STEPS), fast = own->row->fast[0] != 0;
    struct choice *choice = &plane->choice;
    choose(choice, plane->exponents, plane->lowest, count, fast || wide ? NEVER : DROPPED);
    struct product product = {
        plane->factors, plane->least, plane->image, plane->places, choice->plain, choice->plain_count, plane->sums,
    };
    int64_t columns = parts((own->rows - 1) * own->pitch + own->columns, WIDTH) * WIDTH;
    if (fast) multiply_floats(&product, 1, columns);
    else if (wide) multiply_wide(&product, 1, columns);
    else multiply_plain(&product, 1, columns);
    product.steps = choice->masked, product.count = choice->masked_count;
    if (product.count) multiply_masked(&product, 1, columns);
    return size * largest;
}

// The number that step k of a result reads.
static float source_of(const struct block *own, int64_t y, int64_t x, const int64_t *tap) {
    const struct row *row = own->row;
    const int64_t *strides = row->first_strides;
    int64_t place[2] = {y * row->stride[0] + tap[1] - row->pad[0], x * row->stride[1] + tap[2] - row->pad[1]};
    for (int axis = 0; axis < 2; axis++) {
        if (place[axis] < 0 || place[axis] % row->grow[axis]) return 0;
        place[axis] /= row->grow[axis];
        if (place[axis] >= row->view[3 + axis]) return 0;
    }
    int64_t channel = own->channel * row->inputs[0] + tap[0];
    half word = own->arrays->memory[row->first[0] + own->group * strides[0] + own->depth * strides[1] +
                                    channel * strides[2] + place[0] * strides[3] + place[1] * strides[4]];
    return row->relu_in[0] ? larger(value_of(word), 0) : value_of(word);
}

// The value of a sum as the definition has it.
static double value_carefully(const struct block *own, int64_t y, int64_t x) {
    const int64_t *taps = own->arrays->integers + own->row->taps[0];
    double sum = (double)start_of(own);
    for (int64_t k = 0; k < own->row->steps[0]; k++) {
        half word = weight_at(own, k);
        float pixel = source_of(own, y, x, taps + 3 * k);
        double product = (double)pixel * value_of(word) * 0x1p16;
        int taken = __builtin_fabsf(pixel) >= least_beside(word) && __builtin_fabs(sum) < LIMIT;
        sum += taken ? __builtin_trunc(product + __builtin_copysign(0.5, product)) : 0;
    }
    return __builtin_fabs(sum) < LIMIT ? sum * STEP : __builtin_copysign(INFINITE, sum);
}

static void store_block(const struct block *own, const half *words) {
    const int64_t *strides = own->row->result_strides;
    half *to = own->arrays->memory + own->row->result[0] + own->group * strides[0] + own->depth * strides[1] +
               own->channel * strides[2] + own->top * strides[3] + own->left * strides[4];
    for (int64_t y = 0; y < own->rows; y++, to += strides[3], words += own->pitch)
        if (strides[4] == 1) __builtin_memcpy(to, words, 2 * (size_t)own->columns);
        else
            for (int64_t x = 0; x < own->columns; x++) to[x * strides[4]] = words[x];
}

static void depthwise(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    struct plane *plane = arrays->scratch;
    const struct ending ending = ending_of(row, arrays);
    const int64_t *taps = arrays->integers + row->taps[0];
    for (int64_t unit = begin; unit < end; unit++) {
        struct block own = block_of(row, arrays, unit);
        int64_t count = (own.rows - 1) * own.pitch + own.columns, steps = row->steps[0], start = start_of(&own);
        double bound = __builtin_fabs((double)start) + (double)steps;
        int32_t first_sum = row->fast[0] ? (int32_t)bits_of((float)start) : (int32_t)start;
        for (int64_t i = 0; i < count; i++) plane->sums[i] = first_sum;
        for (int64_t k = 0, next; k < steps; k = next) {
            for (next = k; next < steps && next < k + STEPS && taps[3 * next] == taps[3 * k];) next++;
            bound += add_steps(&own, plane, k, next - k) * 0x1p16;
        }
        if (bound < LIMIT) {
            if (row->fast[0]) settle_floats(plane->sums, count);
            end_sums(&ending, plane->sums, count, plane->words);
        } else {
            for (int64_t i = 0; i < own.rows * own.columns; i++) {
                int64_t y = i / own.columns, x = i % own.columns;
                doubles16 values = (doubles16){} + value_carefully(&own, own.top + y, own.left + x);
                plane->words[y * own.pitch + x] = end_value(&ending, values)[0];
            }
        }
        store_block(&own, plane->words);
    }
}

// Convolutions whose output channels have a few input channels of their own.
//
// A block of the padded input of one channel is read, its rows and columns sorted by their place in a step of the
// window: then neighboring results read neighboring numbers whatever the stride, and all rows of the block are one
// long line of sums, with unused ones between the rows.
#pragma once

#include "ending.h"
#include "product.h"

enum { IMAGE = 1 << 16, SUMS = 1 << 15, PARTS = 256 };  // floats of a block, sums of a unit, parts of a block

// What a thread has for a unit.
struct plane {
    float image[IMAGE + 16 * PARTS + PANEL];
    int32_t sums[SUMS + PANEL];
    half words[SUMS + PANEL];
    struct choice choice;
    float factors[STEPS], least[STEPS];
    int32_t places[STEPS];
    int8_t exponents[STEPS + 64], lowest[STEPS + 64];
};

// The results of a unit.
struct block {
    const struct row *row;
    const struct arrays *arrays;
    int64_t group, depth, channel;
    int64_t top, left, rows, columns;  // of the results
    int64_t pitch, part;               // floats of a row of a part of the image; of a part, with room for a vector
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
        pitch, pitch * (rows + (row->window[0] - 1) / row->stride[0]) + 16,
    };
}

// Every `step`-th word of a row, as numbers. Zeros may be written after them: rows are read in the order in which they
// are in the image.
static void read_line(const half *from, int64_t step, int64_t count, int relu, float *to) {
    if (step == 1)
        for (int64_t i = 0; i < count; i += 16)
            *(floats16 *)(to + i) = values_of(*(const halves16 *)(from + i) & first_places(count - i));
    else if (step == 2)
        for (int64_t i = 0; i < count; i++) to[i] = value_of(from[2 * i]);
    else
        for (int64_t i = 0; i < count; i++) to[i] = value_of(from[step * i]);
    if (relu)
        for (int64_t i = 0; i < count; i++) to[i] = larger(to[i], 0);
}

// Which columns of a part are in the source: those at place `phase` of a step of the window, where the source has no
// zeros between its columns. `origin` is the source's column of the first one.
struct columns {
    int64_t origin, first, end;
};

static struct columns columns_of(const struct block *own, int64_t phase) {
    int64_t step = own->row->stride[1], origin = own->left * step + phase - own->row->pad[1];
    int64_t end = least(own->pitch, parts(own->row->view[4] - origin, step));
    return (struct columns){origin, origin < 0 ? parts(-origin, step) : 0, end};
}

// One row of a part.
static void fill_row(const struct block *own, const half *from, const struct columns *columns, float *to) {
    const struct row *row = own->row;
    int64_t step = row->stride[1], grow = row->grow[1], stride = row->first_strides[4], origin = columns->origin;
    int64_t first = columns->first, count = columns->end - first;
    if (grow == 1) {
        if (count > 0) read_line(from + (origin + first * step) * stride, step * stride, count, row->relu_in[0] != 0, to + first);
        return;
    }
    for (int64_t x = most(0, parts(origin, grow)); x < row->view[4] && x * grow - origin < own->pitch; x++)
        read_line(from + x * stride, 1, 1, row->relu_in[0] != 0, to + x * grow - origin);
}

// Both phases of a row where the step is 2 and the columns are adjacent. Zeros may be written after them.
static void fill_two(const struct block *own, const half *from, float *even, float *odd) {
    int64_t origin = own->left * 2 - own->row->pad[1], width = own->row->view[4];
    int64_t first = origin < 0 ? parts(-origin, 2) : 0, even_end = least(own->pitch, parts(width - origin, 2));
    int64_t odd_end = least(own->pitch, parts(width - origin - 1, 2));
    if (origin < 0 && origin & 1 && first <= own->pitch) odd[first - 1] = value_of(from[0]);
    for (int64_t i = first; i < even_end; i += 16) {
        halves16 low = *(const halves16 *)(from + origin + 2 * i), high = *(const halves16 *)(from + origin + 2 * i + 16);
        halves16 evens = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        halves16 odds = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        *(floats16 *)(even + i) = values_of(evens & first_places(even_end - i));
        *(floats16 *)(odd + i) = values_of(odds & first_places(odd_end - i));
    }
}

static void fill_image(const struct block *own, int64_t channel, float *image) {
    const struct row *row = own->row;
    const half *plane = own->arrays->memory + row->first[0] + own->group * row->first_strides[0] +
                        own->depth * row->first_strides[1] + channel * row->first_strides[2];
    int64_t down = row->stride[0], across = row->stride[1];
    int together = across == 2 && row->grow[1] == 1 && row->first_strides[4] == 1 && !row->relu_in[0];
    __builtin_memset(image, 0, sizeof(float) * (size_t)(own->part * down * across + PANEL));
    for (int64_t phase = 0; phase < down * across; phase += together ? 2 : 1) {
        struct columns columns = columns_of(own, phase % across);
        int64_t place = own->top * down + phase / across - row->pad[0], grow = row->grow[0];
        float *to = image + phase * own->part, *end = to + own->part - own->pitch - 16;
        for (; to <= end; to += own->pitch, place += down) {
            if (place < 0 || (grow > 1 && place % grow)) continue;
            int64_t y = grow > 1 ? place / grow : place;
            if (y >= row->view[3]) break;
            const half *from = plane + y * row->first_strides[3];
            if (together) fill_two(own, from, to, to + own->part);
            else fill_row(own, from, &columns, to);
        }
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

static const half *weights_of(const struct block *own) {
    const struct row *row = own->row;
    const half *weights = row->weights_in_memory[0] ? own->arrays->memory : own->arrays->constants;
    return weights + row->weights[0] + own->group * row->weight_group[0] + own->channel * row->steps[0];
}

static int64_t start_of(const struct block *own) {
    const struct row *row = own->row;
    return own->arrays->integers[row->starts[0] + own->group * row->start_group[0] + own->channel];
}

// Weights of some steps as factors; returns the sum of their magnitudes.
static float read_weights(struct plane *plane, const half *weights, int64_t count, int exact, float *largest) {
    halves16 highest = {};
    floats16 sizes = {};
    for (int64_t k = 0; k < count; k += 16) {
        halves16 words = *(const halves16 *)(weights + k) & first_places(count - k);
        floats16 values = values_of(words);
        words16 used = values != (floats16){}, nudge = ALL16(exact && FUSED);
        words16 exponents = __builtin_elementwise_max(__builtin_convertvector(words >> 10 & 31, words16), ALL16(1)) - 15;
        *(floats16 *)(plane->factors + k) = (floats16)((words16)(values * 0x1p16f) | (nudge & used));
        *(floats16 *)(plane->least + k) = least_beside_values(values);
        *(bytes16 *)(plane->exponents + k) = __builtin_convertvector(chosen(used, exponents, ALL16(NOTHING)), bytes16);
        highest = __builtin_elementwise_max(highest, words & 0x7FFF);
        sizes += __builtin_elementwise_abs(values);
    }
    float size = 0;
    for (int i = 0; i < 16; i++) size += sizes[i];
    *largest = value_of(__builtin_reduce_max(highest));
    return size;
}

// Where the steps find their pixels in the image.
static void find_places(const struct block *own, struct plane *plane, const int64_t *taps, int64_t count) {
    int64_t down = own->row->stride[0], across = own->row->stride[1];
    for (int64_t k = 0; k < count; k++) {
        int64_t y = taps[3 * k + 1], x = taps[3 * k + 2];
        if (down == 1 && across == 1) plane->places[k] = (int32_t)(y * own->pitch + x);
        else
            plane->places[k] =
                (int32_t)((y % down * across + x % across) * own->part + y / down * own->pitch + x / across);
    }
}

// Adds the products of the steps from `first` on that read one input channel; returns a bound of their magnitudes.
static double add_steps(const struct block *own, struct plane *plane, int64_t first, int64_t count) {
    const int64_t *taps = own->arrays->integers + own->row->taps[0] + 3 * first;
    float largest, largest_weight;
    int fast = own->row->fast[0] != 0;
    fill_image(own, own->channel * own->row->inputs[0] + taps[0], plane->image);
    int8_t lowest = survey(plane->image, own->part * own->row->stride[0] * own->row->stride[1], &largest);
    double size = read_weights(plane, weights_of(own) + first, count, !fast, &largest_weight);
    int wide = !(largest * largest_weight * 0x1p16f < MOST_STEPS);
    struct choice *choice = &plane->choice;
    __builtin_memset(plane->lowest, lowest, sizeof plane->lowest);
    choose(choice, plane->exponents, plane->lowest, count, fast || wide ? NEVER : DROPPED);
    struct product product = {
        plane->factors, plane->least, plane->image, 1, plane->places, choice->plain, choice->plain_count, plane->sums,
    };
    int64_t columns = parts((own->rows - 1) * own->pitch + own->columns, WIDTH) * WIDTH;
    if (fast) multiply_floats(&product, 1, columns);
    else if (wide) multiply_wide(&product, 1, columns);
    else multiply_plain(&product, 1, columns);
    product.steps = choice->masked, product.count = choice->masked_count;
    if (product.count) multiply_masked(&product, 1, columns);
    return size * (1 + (double)count * 0x1p-23) * largest;
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
        half word = weights_of(own)[k];
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
        if (strides[4] == 1) copy_words(to, words, own->columns);
        else
            for (int64_t x = 0; x < own->columns; x++) to[x * strides[4]] = words[x];
}

static void depthwise(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    struct plane *plane = arrays->scratch;
    const struct ending ending = ending_of(row, arrays);
    const int64_t *taps = arrays->integers + row->taps[0];
    for (int64_t unit = begin, pitch = 0, part = 0; unit < end; unit++) {
        struct block own = block_of(row, arrays, unit);
        int64_t count = (own.rows - 1) * own.pitch + own.columns, steps = row->steps[0], start = start_of(&own);
        double bound = __builtin_fabs((double)start) + (double)steps;
        int32_t first_sum = row->fast[0] ? (int32_t)bits_of((float)start) : (int32_t)start;
        for (int64_t i = 0; i < count; i++) plane->sums[i] = first_sum;
        for (int64_t k = 0, next; k < steps; k = next) {
            for (next = k; next < steps && next < k + STEPS && taps[3 * next] == taps[3 * k];) next++;
            if (next - k < steps || own.pitch != pitch || own.part != part)
                find_places(&own, plane, taps + 3 * k, next - k);
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
        pitch = own.pitch, part = own.part;
    }
}

// Dense convolutions. The rows of tiles and the columns of panels are channels and pixels, or, where a plane has few
// pixels, pixels and channels.
#pragma once

#include "ending.h"
#include "product.h"

// A unit of work: the elements of both sides that it makes results of.
struct share {
    int64_t group, row_first, row_end, column_first, column_end;
};

// What a thread has for a unit.
struct bench {
    struct tile tiles[TILES];
    struct panel panel;
    float column_sizes[PANELS][PANEL];
    float largest_row, largest_column;
    double room;                      // magnitude of pixels with which no sum of a unit or panel overflows
    uint8_t careful[PANELS * PANEL];  // channels of the unit whose sums may overflow
    struct lines lines;
    struct choice choice;
    half gathered[STEPS][PANEL + 16], few[STEPS * TILE + TILE];
    int32_t sums[PANELS][TILES][TILE][PANEL];
    int32_t turned[PANEL][TILES * TILE];
};

// A convolution, and the unit that is being worked on.
struct convolution {
    const struct row *row;
    const struct arrays *arrays;
    const half *pixels, *weights;  // of the group
    const int64_t *taps, *starts;
    struct ending ending;
    struct share share;
    struct bench *bench;
};

static struct share share_of(const struct row *row, int64_t unit) {
    int64_t channel = unit % row->channel_parts[0], rest = unit / row->channel_parts[0];
    int64_t pixel = rest % row->pixel_parts[0], group = rest / row->pixel_parts[0];
    int64_t part[2] = {channel, pixel}, all[2] = {row->channel_parts[0], row->pixel_parts[0]};
    int64_t count[2] = {row->channels[0], row->pixels[0]};
    int rows = row->swapped[0] != 0, columns = !rows;
    int64_t tiles = parts(count[rows], TILE), panels = parts(count[columns], PANEL);
    return (struct share){
        group,
        tiles * part[rows] / all[rows] * TILE,
        least(tiles * (part[rows] + 1) / all[rows] * TILE, count[rows]),
        panels * part[columns] / all[columns] * PANEL,
        least(panels * (part[columns] + 1) / all[columns] * PANEL, count[columns]),
    };
}

// A pixel of the source, in halfwords from the first one.
static inline int64_t place_of(const struct row *row, int64_t pixel) {
    return pixel / row->width[0] * row->row_step[0] + pixel % row->width[0];
}

// Pixels of a block of steps; they are brought together where they are not adjacent.
static void find_pixels(const struct convolution *own, int64_t step, int64_t first, int64_t count) {
    struct lines *lines = &own->bench->lines;
    const int64_t *taps = own->taps + step;
    int64_t width = own->row->width[0];
    lines->count = count;
    if (first % width + count <= width) {
        const half *from = own->pixels + place_of(own->row, first);
        for (int64_t k = 0; k < lines->steps; k++) lines->from[k] = from + taps[k];
        return;
    }
    for (int64_t k = 0; k < lines->steps; k++) lines->from[k] = own->bench->gathered[k];
    for (int64_t done = 0; done < count;) {
        const half *from = own->pixels + place_of(own->row, first + done);
        int64_t run = least(count - done, width - (first + done) % width);
        for (int64_t k = 0; k < lines->steps; k++)
            for (int64_t i = 0; i < run; i += 16) __builtin_memcpy(own->bench->gathered[k] + done + i, from + taps[k] + i, 32);
        done += run;
    }
}

// Weights of a block of steps as a panel, zeros where there are fewer channels.
static void find_weights(const struct convolution *own, int64_t step, int64_t channel) {
    struct lines *lines = &own->bench->lines;
    const half *from = own->weights + channel * own->row->steps[0] + step * PANEL;
    lines->count = PANEL;
    for (int64_t k = 0; k < lines->steps; k++) lines->from[k] = from + k * PANEL;
}

// Pixels of a block of steps as the rows of a tile.
static const half *gather_few(const struct convolution *own, int64_t step, int64_t first, int64_t count) {
    struct bench *bench = own->bench;
    find_pixels(own, step, first, count);
    for (int64_t k = 0; k < bench->lines.steps; k++)
        for (int64_t i = 0; i < TILE; i++) bench->few[k * TILE + i] = i < count ? bench->lines.from[k][i] : 0;
    return bench->few;
}

static void read_rows(const struct convolution *own, int64_t step) {
    struct bench *bench = own->bench;
    for (int64_t first = own->share.row_first, t = 0; first < own->share.row_end; first += TILE, t++) {
        const half *words = own->weights + first * own->row->steps[0] + step * TILE;
        if (own->row->swapped[0]) words = gather_few(own, step, first, least(TILE, own->share.row_end - first));
        read_tile(&bench->tiles[t], words, bench->lines.steps, !own->row->fast[0]);
        bench->largest_row = larger(bench->largest_row, bench->tiles[t].largest);
    }
}

static void read_columns(const struct convolution *own, int64_t step, int64_t p) {
    struct bench *bench = own->bench;
    int64_t first = own->share.column_first + p * PANEL;
    int swapped = own->row->swapped[0] != 0;
    if (swapped) find_weights(own, step, first);
    else find_pixels(own, step, first, least(PANEL, own->share.column_end - first));
    read_panel(&bench->panel, &bench->lines, swapped ? bench->column_sizes[p] : 0, !own->row->fast[0]);
    bench->largest_column = larger(bench->largest_column, bench->panel.largest);
}

// Adds the products of a block of steps to the sums of one panel, in a slot.
static void multiply_panel(const struct convolution *own, int64_t p, int64_t slot) {
    struct bench *bench = own->bench;
    const struct panel *panel = &bench->panel;
    int64_t columns = least(PANEL, own->share.column_end - own->share.column_first - p * PANEL);
    int64_t all_rows = own->share.row_end - own->share.row_first;
    int fast = own->row->fast[0] != 0;
    columns = parts(columns, 16) * 16;
    for (int64_t t = 0; t * TILE < all_rows; t++) {
        const struct tile *tile = &bench->tiles[t];
        struct choice *choice = &bench->choice;
        int64_t rows = least(TILE, all_rows - t * TILE);
        int wide = !(tile->largest * panel->largest * 0x1p16f < MOST_STEPS);
        if (!fast) choose(choice, tile->exponents, panel->exponents, bench->lines.steps, wide ? NEVER : DROPPED);
        struct product product = {
            tile->factors,
            tile->least,
            panel->factors,
            TILE,
            openane_panel_steps,
            fast ? openane_every_step : choice->plain,
            fast ? bench->lines.steps : choice->plain_count,
            &bench->sums[slot][t][0][0],
        };
        if (fast) {
            multiply_floats(&product, rows, columns);
            continue;
        }
        if (wide) multiply_wide(&product, rows, columns);
        else multiply_plain(&product, rows, columns);
        product.steps = choice->masked, product.count = choice->masked_count;
        if (product.count) multiply_masked(&product, rows, columns);
    }
}

// What the sum of a channel begins with: the bias.
static inline int32_t first_sum(const struct convolution *own, int64_t channel) {
    int64_t start = channel < own->row->channels[0] ? own->starts[channel] : 0;
    return own->row->fast[0] ? (int32_t)bits_of((float)start) : (int32_t)start;
}

static void start_panel(const struct convolution *own, int64_t p, int64_t slot) {
    const struct share *share = &own->share;
    int64_t rows = share->row_end - share->row_first;
    int swapped = own->row->swapped[0] != 0;
    int32_t line[PANEL] = {0}, *to = &own->bench->sums[slot][0][0][0];
    for (int64_t c = 0; c < PANEL && swapped; c++) line[c] = first_sum(own, share->column_first + p * PANEL + c);
    for (int64_t r = 0; r < rows; r++) {
        words16 start = ALL16(swapped ? 0 : first_sum(own, share->row_first + r));
        UNROLL for (int v = 0; v < PANEL; v += 16, to += 16) *(words16 *)to = *(const words16 *)(line + v) | start;
    }
}

static inline int64_t first_channel(const struct convolution *own) {
    return own->row->swapped[0] ? own->share.column_first : own->share.row_first;
}

// The magnitude of pixels with which no sum of a channel can leave the accumulator on the way, judged by the magnitudes
// of its weights. Each product is rounded, and so was each sum of magnitudes.
static double room_of(const struct convolution *own, int64_t channel) {
    const struct bench *bench = own->bench;
    int64_t place = channel - first_channel(own);
    double weights = own->row->swapped[0] ? bench->column_sizes[place / PANEL][place % PANEL]
                                          : bench->tiles[place / TILE].sizes[place % TILE];
    double steps = (double)own->row->steps[0], left = LIMIT - steps - __builtin_fabs((double)own->starts[channel]);
    return left <= 0 ? 0 : left / (weights * (1 + steps * 0x1p-23) * 0x1p16 + 0x1p-100);
}

static void find_room(const struct convolution *own, int64_t first, int64_t end) {
    double room = room_of(own, first);
    for (int64_t channel = first + 1; channel < end; channel++) {
        double other = room_of(own, channel);
        room = other < room ? other : room;
    }
    own->bench->room = room;
}

static half weight_of(const struct convolution *own, int64_t channel, int64_t step) {
    int64_t side = own->row->swapped[0] ? PANEL : TILE;
    return own->weights[(channel / side * own->row->steps[0] + step) * side + channel % side];
}

// The sums of some pixels of a channel as the definition has them: one product after the other, and the first sum that
// does not fit stays.
static void sum_carefully(const struct convolution *own, int64_t channel, int64_t first, int64_t count, double *sums) {
    int64_t places[PANEL];
    for (int64_t i = 0; i < count; i++) places[i] = place_of(own->row, first + i);
    for (int64_t i = 0; i < count; i++) sums[i] = (double)own->starts[channel];
    for (int64_t k = 0; k < own->row->steps[0]; k++) {
        half word = weight_of(own, channel, k);
        double weight = value_of(word) * 0x1p16;
        float lowest = least_beside(word);
        const half *pixels = own->pixels + own->taps[k];
        for (int64_t i = 0; i < count; i++) {
            float pixel = value_of(pixels[places[i]]);
            double product = __builtin_trunc(pixel * weight + __builtin_copysign(0.5, pixel * weight));
            int taken = __builtin_fabsf(pixel) >= lowest && __builtin_fabs(sums[i]) < LIMIT;
            sums[i] += taken ? product : 0;
        }
    }
    for (int64_t i = 0; i < count; i++) {
        int fits = __builtin_fabs(sums[i]) < LIMIT;
        sums[i] = fits ? sums[i] * STEP : __builtin_copysign(INFINITE, sums[i]);
    }
}

static inline half *result_of(const struct convolution *own, int64_t channel) {
    const int64_t *strides = own->row->result_strides;
    return own->arrays->memory + own->row->result[0] + own->share.group * strides[0] + channel * strides[2];
}

static inline int side_by_side(const struct row *row) {
    return row->result_strides[4] == 1 && row->result_strides[3] == row->result_width[0];
}

// Stores the words of pixels that follow one another.
static void store_pixels(const struct convolution *own, int64_t channel, int64_t first, int64_t count, const half *line) {
    const int64_t *strides = own->row->result_strides, width = own->row->result_width[0];
    half *to = result_of(own, channel);
    if (side_by_side(own->row)) {
        __builtin_memcpy(to + first, line, 2 * (size_t)count);
        return;
    }
    half *place = to + first / width * strides[3] + first % width * strides[4];
    for (int64_t left = width - first % width; count > 0; left = width) {
        int64_t run = least(count, left);
        if (strides[4] == 1) copy_words(place, line, run);
        else
            for (int64_t i = 0; i < run; i++) place[i * strides[4]] = line[i];
        place += strides[3] - (width - left) * strides[4], line += run, count -= run;
    }
}

// Sums of float32 as sums of the accumulator; they fit.
static void settle_floats(int32_t *sums, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float sum = float_of((uint32_t)sums[i]);
        sums[i] = (int32_t)(__builtin_fabsf(sum) < 0x1p22f ? sum + __builtin_copysignf(0.5f, sum) : sum);
    }
}

static void end_pixels(const struct convolution *own, int64_t channel, int64_t first, int64_t count, int32_t *sums) {
    half line[TILES * TILE + 16];
    if (own->bench->careful[channel - first_channel(own)]) {
        double values[PANEL] = {0};
        for (int64_t done = 0; done < count; done += PANEL) {
            int64_t some = least(PANEL, count - done);
            sum_carefully(own, channel, first + done, some, values);
            end_values(&own->ending, values, some, line + done);
        }
    } else {
        if (own->row->fast[0]) settle_floats(sums, count);
        if (count % 16 == 0 && side_by_side(own->row)) {
            end_sums(&own->ending, sums, count, result_of(own, channel) + first);
            return;
        }
        end_sums(&own->ending, sums, count, line);
    }
    store_pixels(own, channel, first, count, line);
}

// Marks the channels from `first` on whose sums may have overflown.
static void mark_careful(const struct convolution *own, int64_t first, int64_t end) {
    struct bench *bench = own->bench;
    double pixels = own->row->swapped[0] ? bench->largest_row : bench->largest_column;
    uint8_t *careful = bench->careful + first - first_channel(own);
    if (pixels < bench->room) __builtin_memset(careful, 0, (size_t)(end - first));
    else
        for (int64_t channel = first; channel < end; channel++) careful[channel - first] = !(pixels < room_of(own, channel));
}

static void end_panel(const struct convolution *own, int64_t p, int64_t slot) {
    const struct share *share = &own->share;
    struct bench *bench = own->bench;
    int64_t rows = share->row_end - share->row_first, first = share->column_first + p * PANEL;
    int64_t columns = least(PANEL, share->column_end - first);
    if (!own->row->swapped[0]) {
        mark_careful(own, share->row_first, share->row_end);
        for (int64_t r = 0; r < rows; r++)
            end_pixels(own, share->row_first + r, first, columns, bench->sums[slot][r / TILE][r % TILE]);
        return;
    }
    find_room(own, first, first + columns);
    mark_careful(own, first, first + columns);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < PANEL; c++) bench->turned[c][r] = bench->sums[slot][r / TILE][r % TILE][c];
    for (int64_t c = 0; c < columns; c++) end_pixels(own, first + c, share->row_first, rows, bench->turned[c]);
}

// Sums of few steps are ended while they are in the first cache; else all panels see a block of steps, and then the next.
static void convolve_unit(const struct convolution *own) {
    struct bench *bench = own->bench;
    int64_t panels = parts(own->share.column_end - own->share.column_first, PANEL), steps = own->row->steps[0];
    int few = steps <= STEPS;
    for (int64_t t = 0; t < TILES; t++) __builtin_memset(bench->tiles[t].sizes, 0, sizeof bench->tiles[t].sizes);
    __builtin_memset(bench->column_sizes, 0, sizeof bench->column_sizes);
    bench->largest_row = bench->largest_column = 0;
    for (int64_t p = 0; p < panels && !few; p++) start_panel(own, p, p);
    for (int64_t step = 0; step < steps; step += STEPS) {
        bench->lines.steps = least(STEPS, steps - step);
        read_rows(own, step);
        if (few && !own->row->swapped[0]) find_room(own, own->share.row_first, own->share.row_end);
        for (int64_t p = 0; p < panels; p++) {
            if (few) start_panel(own, p, 0), bench->largest_column = 0;
            read_columns(own, step, p);
            multiply_panel(own, p, few ? 0 : p);
            if (few) end_panel(own, p, 0);
        }
    }
    if (!few && !own->row->swapped[0]) find_room(own, own->share.row_first, own->share.row_end);
    for (int64_t p = 0; p < panels && !few; p++) end_panel(own, p, p);
}

static void convolve(const struct row *row, const struct arrays *arrays, int64_t begin, int64_t end) {
    const half *packed = row->weights_in_memory[0] ? arrays->memory : arrays->constants;
    for (int64_t unit = begin; unit < end; unit++) {
        struct share share = share_of(row, unit);
        struct convolution own = {
            row,
            arrays,
            (row->in_image[0] ? arrays->image : arrays->memory) + row->first[0] + share.group * row->group_step[0],
            packed + row->weights[0] + share.group * row->weight_group[0],
            arrays->integers + row->taps[0],
            arrays->integers + row->starts[0] + share.group * row->start_group[0],
            ending_of(row, arrays),
            share,
            arrays->scratch,
        };
        convolve_unit(&own);
    }
}

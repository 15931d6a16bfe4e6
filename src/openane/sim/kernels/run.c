// A whole program in one call: all threads walk the same rows and share the work of each.
//
// Addresses never depend on values, so the rows are made once. The blocks of units of a row are divided among the
// threads, the first blocks to the first thread and so on: a tensor that several rows work on then stays in the caches
// of the same processors. Who is done with its own blocks claims those of others, and all go on to the next row when
// all blocks of this one are done. A thread that comes late finds less to do, and nobody waits for it. Which thread
// computes a block changes nothing in its result.
#include "number.h"

#if defined(_WIN32)
__declspec(dllimport) int SwitchToThread(void);
#define EXPORT __declspec(dllexport)
static void give_way(void) { SwitchToThread(); }
#else
int sched_yield(void);
#define EXPORT __attribute__((visibility("default")))
static void give_way(void) { sched_yield(); }
#endif

uint64_t openane_places[256];
int32_t openane_panel_steps[STEPS];
uint8_t openane_every_step[STEPS];

enum {
    SPENT = 0,       // the first counter: cost of the blocks that were done
    COUNTER = 8,     // one counter in each cache line
    SHARES = 4,      // more threads than this start in the same shares
    REPORT = 100000, // cost that a thread has done before it adds to SPENT
    PATIENCE = 2000, // looks at a counter before the thread gives way to others
};

// Instruction sets, the best one first.
extern kernel *const openane_kernels_base[KINDS];
extern narrowing openane_narrow_base;
#if defined(__x86_64__)
#include <cpuid.h>
extern kernel *const openane_kernels_v3[KINDS], *const openane_kernels_v4[KINDS];
static const char *const names[] = {"x86-64-v4", "x86-64-v3", "x86-64-v2"};
static kernel *const *const sets[] = {openane_kernels_v4, openane_kernels_v3, openane_kernels_base};
extern narrowing openane_narrow_v3, openane_narrow_v4;
static narrowing *const narrowings[] = {openane_narrow_v4, openane_narrow_v3, openane_narrow_base};

static uint64_t enabled_state(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int best_set(void) {
    unsigned a, b, c, d, leaf;
    if (!__get_cpuid(1, &a, &b, &leaf, &d) || !(leaf & bit_OSXSAVE)) return 2;
    uint64_t state = enabled_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (state & 0x6) != 0x6) return 2;
    int v3 = (b & bit_AVX2) && (b & bit_BMI) && (b & bit_BMI2) && (leaf & bit_FMA) && (leaf & bit_F16C) && (leaf & bit_MOVBE);
    unsigned wanted = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    int v4 = v3 && (b & wanted) == wanted && (state & 0xE6) == 0xE6;
    return v4 ? 0 : v3 ? 1 : 2;
}
#else
static const char *const names[] = {"arm64"};
static kernel *const *const sets[] = {openane_kernels_base};
static narrowing *const narrowings[] = {openane_narrow_base};
static int best_set(void) { return 0; }
#endif

#define WRITTEN(name, count) #name ":" #count " "

// The fields of a row, each with the number of its integers.
EXPORT const char *openane_row_fields(void) { return ROW_FIELDS(WRITTEN); }

// What the library was built for and from: platform, digests of the script and of the sources.
EXPORT const char *openane_sources(void) { return SOURCES; }

EXPORT int64_t openane_scratch_bytes(void) { return SCRATCH_BYTES; }

// Name of an instruction set of this processor, the best one first; 0 when there are no more.
EXPORT const char *openane_instruction_set(int64_t number) {
    int64_t place = number + best_set(), count = sizeof names / sizeof *names;
    return place < count ? names[place] : 0;
}

// The kernels of that instruction set.
EXPORT kernel *const *openane_kernels(int64_t number) {
    for (int byte = 0; byte < 256; byte++) {
        uint64_t places = 0;
        for (uint64_t bit = 0, found = 0; bit < 8; bit++)
            if (byte >> bit & 1) places |= bit << 8 * found++;
        openane_places[byte] = places;
    }
    for (int step = 0; step < STEPS; step++) openane_panel_steps[step] = step * PANEL, openane_every_step[step] = (uint8_t)step;
    return sets[number + best_set()];
}

// Counters that `openane_run` needs, to be zeroed before each run.
EXPORT int64_t openane_counters(int64_t rows) { return COUNTER * (1 + rows * (1 + SHARES)); }

// A program while it runs. There need not be as many threads as `threads` says.
struct program {
    kernel *const *kernels;
    const struct row *rows;
    int64_t *counters;
    int64_t allowance;  // of SPENT: what is left is not begun any more
    int64_t threads;
};

static int64_t look(int64_t *counter) { return __atomic_load_n(counter, __ATOMIC_ACQUIRE); }
static int64_t add(int64_t *counter, int64_t value) { return __atomic_fetch_add(counter, value, __ATOMIC_SEQ_CST); }

// Does blocks of a row until none is left; returns how many.
static int64_t work(const struct program *program, const struct arrays *arrays, int64_t number, int64_t thread) {
    const struct row *row = program->rows + number;
    int64_t blocks = row->blocks[0], shares = least(program->threads, SHARES), done = 0, unreported = 0;
    int64_t *counters = program->counters + COUNTER * (1 + number * (1 + SHARES));
    for (int64_t turn = 0; turn < shares; turn++) {
        int64_t share = (thread + turn) % shares, begin = blocks * share / shares, end = blocks * (share + 1) / shares;
        int64_t *claimed = counters + COUNTER * (1 + share);
        if (begin + look(claimed) >= end) continue;
        while (look(program->counters + SPENT) < program->allowance) {
            int64_t block = begin + add(claimed, 1);
            if (block >= end) break;
            int64_t first = row->units[0] * block / blocks, last = row->units[0] * (block + 1) / blocks;
            program->kernels[row->kind[0]](row, arrays, first, last);
            done++, unreported += row->cost[0] / blocks;
            if (unreported > REPORT) add(program->counters + SPENT, unreported), unreported = 0;
        }
    }
    add(program->counters + SPENT, unreported);
    if (done) add(counters, done);
    return done;
}

// Does the rows from `first` up to `end`, together with other threads; returns the first row that may not be done.
EXPORT int64_t openane_run(
    const struct program *program, const struct arrays *arrays, int64_t first, int64_t end, int64_t thread
) {
    for (int64_t number = first; number < end; number++) {
        int64_t *done = program->counters + COUNTER * (1 + number * (1 + SHARES)), looks = 0;
        work(program, arrays, number, thread);
        while (look(done) < program->rows[number].blocks[0]) {
            if (look(program->counters + SPENT) >= program->allowance) return number;
            if (++looks > PATIENCE) give_way();
        }
    }
    return end;
}

// Puts the zeros of a stream of [mask byte][stored halfwords] back; returns the bytes used, or one more than there are
// when the masks ask for more.
EXPORT int64_t openane_expand(const uint8_t *body, int64_t size, half *result, int64_t count) {
    int64_t position = 0;
    for (int64_t start = 0; start < count; start += 8) {
        if (position >= size) return size + 1;
        uint8_t mask = body[position++];
        for (int64_t bit = 0; bit < 8; bit++) {
            if (!(mask >> bit & 1)) continue;
            if (position + 2 > size || start + bit >= count) return size + 1;
            result[start + bit] = (half)(body[position] | body[position + 1] << 8);
            position += 2;
        }
    }
    return position;
}

// float32 numbers of the caller as fp16: nearest, ties to even (IEEE 754). Returns whether all of them are finite.
EXPORT int64_t openane_narrow(int64_t number, const float *values, int64_t count, half *result) {
    return narrowings[number + best_set()](values, count, result);
}

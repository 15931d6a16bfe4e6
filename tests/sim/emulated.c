// Runs the rows of a program that a test has written to a file, and writes the memory back: for processors that are
// emulated. The file holds eight counts and the arrays in the order of `struct arrays`.
#include "engine.h"
#include <stdio.h>
#include <stdlib.h>

struct program {
    kernel *const *kernels;
    const struct row *rows;
    int64_t *counters;
    int64_t allowance, threads;
};

kernel *const *openane_kernels(int64_t number);
const char *openane_instruction_set(int64_t number);
int64_t openane_counters(int64_t rows);
int64_t openane_run(const struct program *program, const struct arrays *arrays, int64_t first, int64_t end, int64_t thread);

static void *read_array(FILE *file, int64_t count, size_t size) {
    char *array = calloc((size_t)count + 1024, size);
    if (fread(array, size, (size_t)count, file) != (size_t)count) exit(1);
    return array;
}

int main(int count, char **names) {
    FILE *file = count == 3 ? fopen(names[1], "rb") : 0;
    int64_t counts[6];
    if (!file || fread(counts, sizeof counts, 1, file) != 1) return 1;
    const struct row *rows = read_array(file, counts[0], sizeof *rows);
    struct arrays arrays = {
        read_array(file, counts[1], 2), read_array(file, counts[2], 2), read_array(file, counts[3], 2),
        read_array(file, counts[4], 4), read_array(file, counts[5], 8), calloc(1, SCRATCH_BYTES),
    };
    struct program program = {openane_kernels(0), rows, calloc((size_t)openane_counters(counts[0]), 8), INT64_MAX, 1};
    if (openane_run(&program, &arrays, 0, counts[0], 0) != counts[0]) return 1;
    FILE *result = fopen(names[2], "wb");
    if (!result || fwrite(arrays.memory, 2, (size_t)counts[1], result) != (size_t)counts[1] || fclose(result)) return 1;
    puts(openane_instruction_set(0));
    return 0;
}

/* Runs MODEL.openane once:  run_bundle LIBANE.so MODEL.openane NAME=INPUT.bin ... OUTPUT_FOLDER
 *
 * Inputs and outputs are raw little-endian files in the types and shapes of the manifest; an input that is not given is 0.
 */
#include <stdio.h>
#include <string.h>

#include "openane_bundle.h"

static size_t bytes_of(const struct openane_tensor *tensor)
{
    return tensor->elements * (tensor->type == OPENANE_FLOAT16 ? 2 : 4);
}

int main(int argc, char **argv)
{
    char error[256] = "usage: run_bundle LIBANE.so MODEL.openane NAME=INPUT.bin ... OUTPUT_FOLDER", path[4096];
    struct openane_library library;
    struct openane_tensor *tensors;
    struct openane_bundle *bundle = NULL;
    if (argc < 4 || openane_libane(argv[1], &library, error, sizeof error) ||
        !(bundle = openane_open(argv[2], NULL, &library, 0, error, sizeof error))) {
        fprintf(stderr, "error: %s\n", error);
        return 1;
    }
    size_t count = openane_inputs(bundle, &tensors);
    for (int i = 3; i < argc - 1; i++) {
        size_t found = 0, length = strcspn(argv[i], "=");
        while (found < count && (strncmp(argv[i], tensors[found].name, length) || tensors[found].name[length]))
            found++;
        FILE *file = found < count && argv[i][length] ? fopen(argv[i] + length + 1, "rb") : NULL;
        if (!file || fread(tensors[found].data, 1, bytes_of(&tensors[found]), file) != bytes_of(&tensors[found])) {
            fprintf(stderr, "error: cannot read the input %s\n", argv[i]);
            return 1;
        }
        fclose(file);
    }
    if (openane_run(bundle, error, sizeof error)) {
        fprintf(stderr, "error: %s\n", error);
        return 1;
    }
    count = openane_outputs(bundle, &tensors);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%zu.bin", argv[argc - 1], i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(tensors[i].data, 1, bytes_of(&tensors[i]), file) != bytes_of(&tensors[i]) || fclose(file)) {
            fprintf(stderr, "error: cannot write %s\n", path);
            return 1;
        }
        printf("%s: %zu elements of %s in %s\n", tensors[i].name, tensors[i].elements,
               tensors[i].type == OPENANE_FLOAT16 ? "float16" : "float32", path);
    }
    openane_close(bundle);
    return 0;
}

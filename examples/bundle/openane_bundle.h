/* Runs a bundle of engine steps (MODEL.openane) through a library of the Linux driver.
 *
 * The bundle must have its programs as .anec too: openane compile MODEL -o MODEL.openane --anec
 * Host steps are refused: they are ONNX models, which a program with onnxruntime can run between the engine steps.
 */
#ifndef OPENANE_BUNDLE_H
#define OPENANE_BUNDLE_H

#include <stddef.h>
#include <stdint.h>

/* What the loader needs of a library: libane's functions, or any others that do the same. */
struct openane_library {
    void *(*open)(const char *anec_path, int device);                 /* NULL when it fails */
    int (*execute)(void *program);                                    /* 0 when it worked */
    void (*send)(void *program, void *packed, uint32_t input_index);  /* packed: N, C, H, W of fp16 */
    void (*read)(void *program, void *packed, uint32_t output_index);
    void (*close)(void *program);                                     /* may be NULL */
};

enum openane_type { OPENANE_FLOAT16, OPENANE_FLOAT32 };

struct openane_tensor {
    const char *name;
    enum openane_type type;
    size_t elements;
    void *data; /* row-major; the caller fills inputs, and reads outputs after openane_run */
};

struct openane_bundle;

/* libane from a shared library, by dlopen; 0 when it worked, else a message is in `error`. */
int openane_libane(const char *path, struct openane_library *library, char *error, size_t error_bytes);

/* Loads the first variant of a function (NULL: the default one); NULL when it fails, with a message in `error`. */
struct openane_bundle *openane_open(const char *path, const char *function, const struct openane_library *library,
                                    int device, char *error, size_t error_bytes);
size_t openane_inputs(struct openane_bundle *bundle, struct openane_tensor **tensors);
size_t openane_outputs(struct openane_bundle *bundle, struct openane_tensor **tensors);
/* Runs every step once; 0 when it worked. An input that is a state keeps its value from run to run, zeros at first. */
int openane_run(struct openane_bundle *bundle, char *error, size_t error_bytes);
void openane_close(struct openane_bundle *bundle);

#endif

// All kernels, compiled once for each instruction set: ISA names it.
#include "convolve.h"
#include "depthwise.h"
#include "move.h"
#include "planar.h"

_Static_assert(sizeof(struct bench) <= SCRATCH_BYTES && sizeof(struct plane) <= SCRATCH_BYTES, "scratch is too small");
_Static_assert(LINE * sizeof(half) + sizeof(struct operands) <= SCRATCH_BYTES, "scratch is too small");

#define JOINED(a, b) a##b
#define NAME(a, b) JOINED(a, b)

kernel *const NAME(openane_kernels_, ISA)[KINDS] = {
    [CONVOLVE] = convolve, [DEPTHWISE] = depthwise,     [COMBINE] = combine, [MAP] = map,       [COPY] = copy,
    [LOAD] = load,         [PACK] = pack, [ELEMENTWISE] = elementwise, [POOL] = pool, [REDUCE] = reduce,
};

int64_t NAME(openane_narrow_, ISA)(const float *values, int64_t count, half *result) { return narrow(values, count, result); }

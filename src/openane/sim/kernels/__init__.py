"""The fast kernels: C sources, compiled when the package is built, and the library that they make.

`number.h` and `ending.h` are the definitions of `numerics.definition` in C, `product.h` the accumulator of the MAC
array; `convolve.h`, `depthwise.h`, `planar.h` and `move.h` are the kinds of work, `run.c` shares them among threads.
"""

from openane.sim.kernels.library import Library, library

__all__ = ["Library", "library"]

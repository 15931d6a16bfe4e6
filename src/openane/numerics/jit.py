"""Compiled kernels: the decorator that all of them use, and the few instructions that Python cannot spell.

Half-precision conversion is one instruction on today's processors (F16C on x86-64, the base set of AArch64);
the intrinsics here emit LLVM's conversions there and integer arithmetic elsewhere, with the same bits.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numba
from numba.core import types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.extending import intrinsic

VECTOR = 16
"""Pixels that the micro-kernel computes side by side."""

ROWS = 6
"""Output channels that the micro-kernel computes together: 6 x 16 accumulators fill the registers of AVX2."""

BLOCK = 8
"""Elements that are converted between fp16 and fp32 together."""


def _digest_of_sources() -> str:
    """Of all kernels of this folder: they are compiled into one another."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_SOURCES = _digest_of_sources()

# Kernels are written for the instructions of this processor. LLVM crashes the process when NUMBA_CPU_NAME=generic takes
# them away, so the processor itself decides.
numba.config.CPU_NAME = numba.config.CPU_FEATURES = None


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Compiled kernels on disk, valid for exactly these sources.

    The library's own cache looks at the file of a function only, and would keep machine code that has an older
    version of a kernel from another file inlined.
    """

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (*super()._index_key(sig, codegen), _SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """An index or a kernel that is damaged (power loss, full disk) is dropped, and the kernel compiled again."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever a damaged pickle makes of itself
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """A folder that cannot be written to is no fault: the kernel is compiled again the next time."""
        with suppress(Exception):  # the index may be damaged in a folder that cannot be written to
            super().save_overload(sig, data)


_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy", "no_cfunc_wrapper": True}
_UNCOUNTED = {"_nrt": False}
"""References to arrays are not counted: a counter that threads share costs more than many a row of arithmetic. Kernels
therefore allocate nothing; they work in arrays that they are given."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles on first use, without the lock of the interpreter, and keeps the result on disk when it can.

    `fastmath` stays off: every rounding is in the order that the source spells.
    """
    return _cached(numba.njit(nogil=True, **_OPTIONS, **_UNCOUNTED)(function), function)


def inner(function: Callable[..., Any]) -> Any:
    """`compiled` for functions that only other kernels call: nothing that Python would need to call or keep them."""
    return numba.njit(nogil=True, no_cpython_wrapper=True, **_OPTIONS, **_UNCOUNTED)(function)


def views(function: Callable[..., Any]) -> Any:
    """`compiled` for functions that make arrays of addresses or return parts of arrays."""
    return _cached(numba.njit(nogil=True, **_OPTIONS)(function), function)


def _cached(kernel: Any, function: Callable[..., Any]) -> Any:
    with suppress(RuntimeError):  # no folder to keep it in: a read-only installation without a home
        kernel._cache = _KernelCache(function)
    return kernel


class Callback:
    """A compiled function that other compiled code calls by its address, in a module of its own.

    What is called by name is compiled into the caller once more; a table of addresses keeps large kernels apart, and
    those that a program does not use need not be compiled.

    Args:
        function: compiled like `compiled`, at the first look at `address`.
        signature: of numbers and pointers.
    """

    def __init__(self, function: Callable[..., Any], signature: Any) -> None:
        options = {"nopython": True, **_OPTIONS, "no_cfunc_wrapper": False}
        self._callback: Any = CFunc(function, (signature.args, signature.return_type), {}, options)
        with suppress(RuntimeError):
            self._callback._cache = _KernelCache(function)  # type: ignore[attr-defined,unused-ignore]

    @property
    def address(self) -> int:
        """Where the machine code begins."""
        if self._callback.address is None:
            self._callback.compile()
        return int(self._callback.address or 0)


def _features() -> dict[str, bool]:
    try:
        return dict(llvm.get_host_cpu_features())
    except RuntimeError:  # not reported on this platform
        return {}


_MACHINE = platform.machine().lower()
NATIVE_HALF = _MACHINE in ("arm64", "aarch64") or bool(_features().get("f16c"))
"""Whether the processor converts between fp16 and fp32 by itself."""
NATIVE_FMA = _MACHINE in ("arm64", "aarch64") or bool(_features().get("fma"))
"""Whether it multiplies and adds in one instruction."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOAT, _HALF = ir.FloatType(), ir.HalfType()


def data_of(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
    """The data pointer of an array argument."""
    return context.make_array(array_type)(context, builder, value=value).data


@intrinsic
def _native_widen(typing_context: Any, bits: Any) -> Any:
    """float32 of the fp16 with these bits, infinities and NaN as IEEE has them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(builder.bitcast(arguments[0], _HALF), _FLOAT)

    return types.float32(types.uint16), generate


@intrinsic
def _native_narrow(typing_context: Any, value: Any) -> Any:
    """Bits of the fp16 nearest to a float32, ties to even."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(builder.fptrunc(arguments[0], _HALF), _I16)

    return types.uint16(types.float32), generate


@intrinsic
def float_of_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 with the given 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float32(types.uint32), generate


@intrinsic
def bits_of_float(typing_context: Any, value: Any) -> Any:
    """The 32 bits of a float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _I32)

    return types.uint32(types.float32), generate


@compiled
def portable_widen(bits: int) -> float:
    """`widen` in integer arithmetic, for processors without the instruction; IEEE infinities and NaN."""
    word = numba.uint32(bits)
    sign = (word & numba.uint32(0x8000)) << numba.uint32(16)
    magnitude = word & numba.uint32(0x7FFF)
    if magnitude >= numba.uint32(0x7C00):
        return float_of_bits(numba.uint32(sign | numba.uint32(0x7F800000) | ((magnitude & 0x3FF) << numba.uint32(13))))
    # fp16 subnormals become normal when the exponent is corrected by a multiplication
    scaled = float_of_bits(numba.uint32(magnitude << numba.uint32(13))) * numba.float32(2.0**112)
    return float_of_bits(numba.uint32(bits_of_float(scaled) | sign))


@compiled
def portable_narrow(value: float) -> int:
    """`narrow` in integer arithmetic: nearest, ties to even."""
    word = bits_of_float(numba.float32(value))
    sign = (word >> numba.uint32(16)) & numba.uint32(0x8000)
    magnitude = word & numba.uint32(0x7FFFFFFF)
    if magnitude > numba.uint32(0x7F800000):
        return numba.uint16(sign | numba.uint32(0x7E00))
    if magnitude >= numba.uint32(0x477FF000):  # 65520: rounds to infinity
        return numba.uint16(sign | numba.uint32(0x7C00))
    if magnitude < numba.uint32(0x38800000):  # below 2^-14: adding one half aligns and rounds the last bits
        aligned = float_of_bits(magnitude) + numba.float32(0.5)
        return numba.uint16(sign | (bits_of_float(aligned) - numba.uint32(0x3F000000)))
    rounded = magnitude - numba.uint32(0x38000000) + numba.uint32(0xFFF) + ((magnitude >> numba.uint32(13)) & 1)
    return numba.uint16(sign | (rounded >> numba.uint32(13)))


widen: Any = _native_widen if NATIVE_HALF else portable_widen
"""fp16 bits to float32."""
narrow: Any = _native_narrow if NATIVE_HALF else portable_narrow
"""float32 to the bits of the nearest fp16, ties to even."""


def _block_pointers(context: Any, builder: Any, kinds: Any, arguments: Any, source: Any, target: Any) -> Any:
    """Pointers to BLOCK elements of the source and of the target of a block conversion."""
    t, t0, s, s0 = arguments
    from_data = builder.gep(data_of(context, builder, kinds[2], s), [s0])
    to_data = builder.gep(data_of(context, builder, kinds[0], t), [t0])
    pointers = ir.VectorType(source, BLOCK).as_pointer(), ir.VectorType(target, BLOCK).as_pointer()
    return builder.bitcast(from_data, pointers[0]), builder.bitcast(to_data, pointers[1])


@intrinsic
def widen_block(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """BLOCK halfwords source[first...] to float32 target[place...], as `lookup.read_half` has it."""
    signature = types.void(target, types.int64, source, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, end = _block_pointers(context, builder, signature.args, arguments, _I16, _FLOAT)
        bits = builder.load(start, align=2)
        values = builder.fpext(builder.bitcast(bits, ir.VectorType(_HALF, BLOCK)), ir.VectorType(_FLOAT, BLOCK))
        kind, numbers = ir.VectorType(_I16, BLOCK), ir.VectorType(_FLOAT, BLOCK)

        def every(constant: int) -> Any:
            return ir.Constant(kind, [constant] * BLOCK)

        special = builder.icmp_unsigned("==", builder.and_(bits, every(0x7C00)), every(0x7C00))
        lowest = builder.icmp_unsigned("==", bits, every(0xFC00))
        largest = ir.Constant(numbers, [65536.0] * BLOCK), ir.Constant(numbers, [-65536.0] * BLOCK)
        huge = builder.select(lowest, largest[1], largest[0])
        builder.store(builder.select(special, huge, values), end, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def narrow_block(typing_context: Any, target: Any, place: Any, source: Any, first: Any) -> Any:
    """BLOCK float32 source[first...] to halfwords target[place...], as `lookup.store_half` has it."""
    signature = types.void(target, types.int64, source, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, end = _block_pointers(context, builder, signature.args, arguments, _FLOAT, _I16)
        values = builder.load(start, align=4)
        kind = ir.VectorType(_I16, BLOCK)
        bits = builder.bitcast(builder.fptrunc(values, ir.VectorType(_HALF, BLOCK)), kind)
        ordered = builder.fcmp_ordered("ord", values, values)
        builder.store(builder.select(ordered, bits, ir.Constant(kind, [0x7C00] * BLOCK)), end, align=2)
        return context.get_dummy_value()

    return signature, generate

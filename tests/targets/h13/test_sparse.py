"""Kernels whose zeros are left out: the bytes that Apple's compiler made, and what the simulator reads in them.

Compiler and simulator need the same rule, so each is compared with the constant sections of records by their SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

import numpy as np
import pytest

from openane.sim.decoded_task import MacWork
from openane.targets.h13 import packing
from openane.targets.h13.machine import decode_program

CASES = {
    "encoder_conv_idx_c1_n256_k3x3_s2_g1_bias1_same_stem": (256, 1, 3, 3),
    "encoder_conv_idx_c1_n4_k3x3_s2_g1_bias1_same_tiny": (4, 1, 3, 3),
    "encoder_conv_idx_c256_n256_k3x3_s2_g256_bias1_same_dw2": (256, 1, 3, 3),
}
"""Records of stride-2 convolutions with a hash, and the shape of their kernels: fp16 word number i is i + 1."""


@pytest.mark.parametrize("case", CASES)
def test_the_section_has_the_recorded_hash_and_holds_the_kernel(case: str, shared: Path) -> None:
    records, parity = importlib.import_module("apple_records"), importlib.import_module("parity")
    record = records.Record.read(shared / "oracles" / records.REAL_SIZES / f"{case}.json")
    program = parity.compile_record(record)
    section = bytes(program.constants)
    assert hashlib.sha256(section).hexdigest() == record.section["sha256"]
    theirs = type(program)("h13", record.tasks, program.task_offsets, program.surfaces, section)
    (work,) = decode_program(theirs)
    assert isinstance(work.engine, MacWork) and work.engine.kernel is not None
    kernel = work.engine.kernel.read(np.frombuffer(section, np.uint8))
    shape = CASES[case]
    bits = np.arange(1, np.prod(shape) + shape[0] + 1, dtype=np.uint16)
    expected = np.empty(shape, np.uint16)
    expected[...] = bits[: expected.size].reshape(shape)
    found = np.empty(shape, np.uint16)
    for (_, row, column), weights in zip(work.engine.kernel.steps, kernel.weights[0].T, strict=True):
        found[:, 0, row, column] = weights
    np.testing.assert_array_equal(found, expected)
    assert kernel.bias is not None
    np.testing.assert_array_equal(kernel.bias, bits[expected.size :])


@pytest.mark.parametrize(("slots", "length"), [(2, 3 + 4 + 18), (4, 3 + 8 + 18)])
def test_a_channel_takes_the_slots_of_the_mode(slots: int, length: int) -> None:
    kernel = np.full((16, 1, 3, 3), 0.5, np.float32)
    (stream, *_) = packing.pack_sparse_depthwise(kernel, None, slots)
    assert int.from_bytes(stream[:3], "little") == length - 3
    assert packing.pack_sparse(kernel, None, 16, slots)[0] == stream
    assert packing.sparse_slots(64, 8, 8, 4) == 4 and packing.sparse_slots(64, 8, 9, 4) == 2


def test_weights_of_either_zero_are_left_out_and_biases_are_kept() -> None:
    kernel = np.full((16, 1, 3, 3), -0.0, np.float32)
    (stream, *_) = packing.pack_sparse_depthwise(kernel, np.full(16, -0.0, np.float32), 2)
    assert stream[:5] == b"\x00\x80\x04\x00\x00" and not any(stream[5:])

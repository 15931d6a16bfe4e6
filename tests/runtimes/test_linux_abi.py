"""The declared structures against the published header of the driver."""

import ctypes

import pytest

from openane.runtimes.linux import abi


@pytest.mark.parametrize(
    ("structure", "size", "request_number", "published"),
    [
        (abi.BufferInit, 24, abi.BO_INIT, 0xC0186441),
        (abi.BufferFree, 8, abi.BO_FREE, 0xC0086442),
        (abi.Submit, 152, abi.SUBMIT, 0xC0986443),
        (abi.Version, 64, abi.VERSION, 0xC0406400),
    ],
)
def test_numbers_and_sizes_are_the_published_ones(structure, size, request_number, published):
    assert ctypes.sizeof(structure) == size
    assert request_number == published


@pytest.mark.parametrize(
    ("structure", "offsets"),
    [
        (abi.BufferInit, {"handle": 0, "pad": 4, "size": 8, "offset": 16}),
        (abi.BufferFree, {"handle": 0, "pad": 4}),
        (
            abi.Submit,
            {"tsk_size": 0, "td_count": 8, "td_size": 12, "handles": 16, "btsp_handle": 144, "pad": 148},
        ),
    ],
)
def test_members_lie_where_the_header_puts_them(structure, offsets):
    assert {name: getattr(structure, name).offset for name, *_ in structure._fields_} == offsets


def test_every_buffer_has_a_handle():
    assert len(abi.Submit().handles) == 32

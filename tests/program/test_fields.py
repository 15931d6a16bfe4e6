"""Declared fields: values to bits and back, text and back, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.compiled_programs import REPEATABLE

from openane.core.errors import InputError
from openane.program.fields import Field, FieldKind, Register, bits_float, float_bits
from openane.targets.h13.registers import REGISTERS

WORDS = st.integers(0, 0xFFFFFFFF)
REGISTER = st.sampled_from([register for block in REGISTERS.all_blocks for register in block.registers])


@REPEATABLE
@given(REGISTER, WORDS)
def test_every_word_survives_decode_and_encode(register, word):
    assert register.encode(register.decode(word)) == word


@REPEATABLE
@given(REGISTER, WORDS)
def test_every_value_survives_its_text(register, word):
    for field in register.fields:
        value = field.get(word)
        assert field.get(field.put(0, field.show(value))) == value


@REPEATABLE
@given(REGISTER, WORDS, WORDS)
def test_a_change_touches_only_its_field(register, word, other):
    for field in register.fields:
        changed = field.put(word, field.get(other))
        mask = field.mask << field.lsb
        assert changed & mask == other & mask
        assert changed & ~mask == word & ~mask


def test_fields_cover_every_bit_once():
    for block in REGISTERS.all_blocks:
        for register in block.registers:
            assert sum(field.mask << field.lsb for field in register.fields) == 0xFFFFFFFF


@REPEATABLE
@given(st.integers(0, 0xFFFF))
def test_half_precision_bits(bits):
    number = bits_float(FieldKind.FP16, bits)
    if not math.isnan(number):
        assert float_bits(FieldKind.FP16, number) == bits


def test_numbers_round_to_the_nearest_half():
    field = REGISTERS["PE.BiasScale"]["Scale"]
    assert field.put(0, 1.0) == 0x3C00 << 16
    assert field.put(0, "0x3dc5") == 0x3DC5 << 16
    assert field.put(0, 1e9) == 0x7C00 << 16
    assert field.put(0, "-inf") == 0xFC00 << 16


def test_signed_fields():
    field = Field("offset", 4, 8, kind=FieldKind.SIGNED)
    register = Register("R", 0, (field,))
    assert register.encode(offset=-3) == 0xFD0
    assert field.get(0xFD0) == -3
    with pytest.raises(InputError, match=r"-128\.\.127"):
        register.encode(offset=128)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("Common.ConvCfg.Kw", 32, r"Common\.ConvCfg: Kw: the value does not fit.*found 32 .*allowed: 0\.\.31"),
        ("Common.ConvCfg.Kw", -1, r"allowed: 0\.\.31"),
        ("Common.ConvCfg.Kw", 1.5, "an integer is needed"),
        ("TileDMASrc.RowStride.Stride", 100, "not a multiple of 64"),
        ("PE.Cfg.OpMode", "mull", r"add, mul, max.*Did you mean mul\?"),
        ("PE.BiasScale.Scale", 2, r"Write 2\.0 for the number or '0x2' for the bits"),
        ("PE.Cgf.OpMode", 1, r"PE has nothing called 'Cgf'.*Did you mean Cfg\?"),
        ("PEE.Cfg", 1, "h13 has nothing called 'PEE'"),
        ("L2.SourceCfg.DMA", "1", "several names that begin with 'DMA'"),
        ("PE", 1, "names a whole block"),
        ("0x8800x", 1, "not a register address"),
        ("Header.TID", 70000, r"allowed: 0\.\.65535"),
    ],
)
def test_what_people_write(path, value, message):
    with pytest.raises(InputError, match=message):
        REGISTERS.resolve(path).change(0, value)


def test_names_may_be_short_and_of_any_case():
    assert REGISTERS.resolve("pe.cfg.op").field.name == "OpMode"
    assert REGISTERS.resolve("header.tid").field.name == "TID"
    assert REGISTERS.resolve("KernelDMASrc.CoeffDMAConfig[3].En").register.address == 0x1F814
    assert REGISTERS.resolve("0x8800").register.name == "Cfg"
    assert REGISTERS.resolve("0x8800.op").field.name == "OpMode"


def test_validation_names_what_no_program_does():
    findings = REGISTERS.validate({0x8800: 1 << 31, 0x34: 7 << 4, 0x12345678: 1, 0x0: 0x10001})
    assert [(finding.what, finding.where) for finding in findings] == [
        ("reserved bits are set", "PE.Cfg.Reserved_20"),
        ("no name for this value", "Common.Cfg.TaskType"),
        ("undeclared register", "0x12345678"),
    ]

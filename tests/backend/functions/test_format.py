"""The 128 bytes: round trips, refusals, and agreement of the engine's arithmetic with the written rule."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.reference_table import reference

from openane.backend.functions import tables
from openane.backend.functions.recipes import kinds, recipe
from openane.backend.functions.steps import TableStep
from openane.core.errors import FormatError
from openane.net.units.neuron import NeuronKind
from openane.numerics.lookup import CompiledTable
from openane.numerics.tables import KNOT_COUNT, NO_KNOTS, LookupTable, SignRule, StraightLine, TableMode

FINITE = st.integers(0, 0xFFFF).map(lambda bits: float(np.uint16(bits & 0xBFFF).view(np.float16)))
HALF = st.one_of(FINITE, st.sampled_from((math.inf, -math.inf, 65504.0, -0.0)))
LINES = st.builds(StraightLine, FINITE, FINITE)
KNOTS = st.binary(min_size=2 * KNOT_COUNT, max_size=2 * KNOT_COUNT).map(
    lambda data: tuple(map(float, (np.frombuffer(data, "<u2") & 0xBFFF).view("<f2")))  # finite: |knot| < 2
)
DIRECT = st.sampled_from((TableMode.DIRECT, TableMode.CENTERED, TableMode.ENDING_AT_ZERO))
DIRECT_TABLES = st.builds(
    LookupTable,
    DIRECT,
    KNOTS,
    st.one_of(st.integers(-24, 24), st.just(NO_KNOTS)),
    HALF,
    HALF,
    HALF,
    HALF,
    LINES,
    LINES,
    st.sampled_from(SignRule).map(SignRule),
)


@given(DIRECT_TABLES)
def test_bytes_and_back(table: LookupTable) -> None:
    image = table.encode()
    assert len(image) == 128
    assert LookupTable.decode(image) == table
    assert LookupTable.decode(image).encode() == image


def _changed(fp16_word: int, value: int) -> bytes:
    words = np.frombuffer(tables.tanh().encode(), "<u2").copy()
    words[fp16_word] = value
    return words.tobytes()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"", "wrong length"),
        (bytes(127), "127 bytes"),
        (_changed(4, 0x7E00), "a NaN among the values"),
        (_changed(42, 0x0068), "unknown mode"),
        (_changed(42, 0x0070), "bits are set whose meaning is unknown"),
        (_changed(63, 1), "bits are set whose meaning is unknown"),
        (_changed(41, 25), "step exponent out of range"),
        (_changed(42, 0x0067), "step exponent does not go with mode RECIPROCAL"),
    ],
)
def test_refusals_name_the_place(image: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        LookupTable.decode(image, "task 3: table")
    assert str(caught.value).startswith("task 3: table")


def test_a_number_that_is_not_fp16_is_refused() -> None:
    with pytest.raises(FormatError, match=r"not an fp16 number.*0\.1"):
        LookupTable(TableMode.CENTERED, lo=0.1)
    with pytest.raises(FormatError, match="wrong number of knots"):
        LookupTable(TableMode.CENTERED, knots=(0.0,) * 32)


@given(st.binary(min_size=128, max_size=128))
def test_any_bytes_give_a_table_or_a_format_error(image: bytes) -> None:
    try:
        table = LookupTable.decode(image)
    except FormatError:
        return
    assert table.encode() == image


def _every_table() -> dict[bytes, str]:
    constants = {NeuronKind.ELU: (1.0, 0.0), NeuronKind.HARD_SIGMOID: (0.2, 0.5), NeuronKind.CLAMP: (-1.0, 6.0)}
    found = {tables.sigmoid_less_half().encode(): "sigmoid_less_half"}
    for kind in kinds():
        for step in recipe(kind, *constants.get(kind, (0.01, 0.0))).steps:
            if isinstance(step, TableStep):
                found.setdefault(step.table.encode(), kind.name)
    return found


ARGUMENTS = np.concatenate(
    [np.linspace(-12, 12, 4001), np.geomspace(2.0**-24, 65504, 500), -np.geomspace(2.0**-24, 65504, 500)]
)


@pytest.mark.parametrize("image", _every_table(), ids=_every_table().values())
def test_the_engine_follows_the_written_rule(image: bytes) -> None:
    """Single precision with two roundings against double precision: at most one unit in the last place."""
    values = ARGUMENTS.astype(np.float16).astype(np.float32)
    with np.errstate(over="ignore"):
        exact = reference(image, values)
        ours = CompiledTable.of(image).evaluate(values).astype(np.float64)
    finite = np.abs(exact) < 65504
    knots = np.abs(np.frombuffer(image, "<f2")[4:37].astype(np.float64)).max(initial=0)
    unit = np.maximum(np.abs(exact), min(knots, 2.0)) * 2.0**-10
    assert (np.abs(ours - exact)[finite] <= unit[finite] + 2.0**-24).all()


@given(DIRECT, KNOTS, st.integers(-5, 12))
def test_values_at_knots_are_the_knots(mode: TableMode, knots: tuple[float, ...], exponent: int) -> None:
    table = LookupTable(mode, knots, exponent)
    positions = np.linspace(*table.domain, KNOT_COUNT).astype(np.float32)
    found = CompiledTable.of(table.encode()).evaluate(positions)
    ends = {TableMode.DIRECT: (-1,), TableMode.CENTERED: (0, -1), TableMode.ENDING_AT_ZERO: (0,)}[mode]
    inner = slice(0 in ends, KNOT_COUNT - (-1 in ends))
    assert found[inner].tolist() == list(knots[inner])
    # The outermost knot is the end of a chord: its difference from the one before is rounded to fp16 first.
    for end in ends:
        before = knots[1 if end == 0 else -2]
        assert found[end] == pytest.approx(knots[end], abs=2.0**-10 * (abs(knots[end]) + abs(before)))


def test_properties() -> None:
    assert tables.gelu().domain == (-4.0, 4.0)
    assert tables.reciprocal().domain == (0.5, 1.0)
    assert not tables.leaky_relu(0.5).has_knots
    assert math.isinf(tables.maximum(1.0).above)
    assert [table().has_pole for table in (tables.sqrt, tables.log2, tables.exp2)] == [True, True, False]

"""net.plist: published files, round trips, damage."""

from __future__ import annotations

import contextlib
import plistlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openane.core.errors import FormatError, InputError, ModelError, OpenaneError, UnsupportedError
from openane.core.types import DType
from openane.net import (
    BroadcastParams,
    ConcatParams,
    ConstantParams,
    ConvParams,
    Dimension,
    ElementWiseKind,
    ElementWiseParams,
    GOCParams,
    InputViewParams,
    LayerNormParams,
    LinearParams,
    MatMulParams,
    Net,
    NeuronKind,
    NeuronParams,
    PadParams,
    Pads,
    PoolingKind,
    PoolingParams,
    ReductionKind,
    ReductionParams,
    ReshapeParams,
    SelectParams,
    SoftmaxParams,
    TensorShape,
    TileParams,
    TransposeParams,
    Unit,
    UnitParams,
)
from openane.net.plist import parse_net, read_net, write_net
from openane.net.plist.units import UNITS

H, W, C, N, D = (
    Dimension.HEIGHT,
    Dimension.WIDTH,
    Dimension.CHANNEL,
    Dimension.BATCH,
    Dimension.DEPTH,
)
#: Weight files of published plists that were never published themselves.
UNPUBLISHED = {
    "espresso-gemm.plist": {"model.espresso.weights": bytes(384 + 4 * 64 * 64), "net.additional.weights": bytes(128)}
}


def published(shared: Path) -> Iterator[Path]:
    yield from sorted((shared / "goldens" / "plists").glob("*.plist"))
    yield from sorted((shared / "goldens" / "pairs").glob("*/net.plist"))


def inputs_of(net: Net) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape.ndchw).astype(np.float32) for name, shape in net.inputs.items()}


def assert_same(first: Net, second: Net) -> None:
    assert first.name == second.name
    assert list(first.inputs.items()) == list(second.inputs.items())
    assert list(first.outputs.items()) == list(second.outputs.items())
    assert first.input_dtypes == second.input_dtypes
    for a, b in zip(first.units, second.units, strict=True):
        assert (a.name, a.bottoms, a.dtype, type(a.params)) == (b.name, b.bottoms, b.dtype, type(b.params))
        for field, value in vars(a.params).items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(getattr(b.params, field)), field)


def test_published_files_load_evaluate_and_round_trip(shared: Path, tmp_path: Path) -> None:
    count = 0
    for path in published(shared):
        net = read_net(path, weights=UNPUBLISHED.get(path.name))
        for binary in (False, True):
            write_net(net, tmp_path / "again.plist", binary=binary)
            again = read_net(tmp_path / "again.plist")
            assert_same(net, again)
        values = inputs_of(net)
        for name, result in net.evaluate(values).items():
            np.testing.assert_array_equal(result, again.evaluate(values)[name])
        count += 1
    assert count >= 30


def test_the_seed_computes_what_the_mission_says(shared: Path) -> None:
    net = read_net(shared / "goldens" / "pairs" / "seed-inner-product" / "net.plist")
    result = net.evaluate({"image": np.array([1337.0, 0, 0])})
    assert result["probs"].ravel().tolist() == [4012, 4012]


def test_inputs_and_bottoms_keep_their_orders(shared: Path) -> None:
    net = read_net(shared / "goldens" / "pairs" / "concat-16384" / "net.plist")
    assert list(net.inputs) == ["input_1", "input_0"]
    assert net.units[0].bottoms == ("input_0", "input_1")


def test_half_bits_are_numbers(shared: Path) -> None:
    net = read_net(shared / "goldens" / "plists" / "goc.plist")
    goc = net.units[0].params
    assert isinstance(goc, GOCParams)
    assert (goc.scale, goc.bias) == (34.0, float(np.uint16(16354).view(np.float16)))


# -- our own nets -----------------------------------------------------------------------------------------------


def chain(*units: tuple[UnitParams, tuple[str, ...]], **inputs: TensorShape) -> Net:
    made = tuple(Unit(f"u{i}", params, bottoms) for i, (params, bottoms) in enumerate(units))
    return Net("net", inputs, {"y": made[-1].name}, made)


ARRAY = np.arange(24, dtype=np.float32).reshape(4, 6)
X = TensorShape(1, 6, 4, 5)
EXAMPLES: list[Net] = [
    chain((ConvParams(np.ones((4, 3, 3, 2), np.float16), (2, 1), (1, 2), Pads(1, 2, 0, 1), 2), ("x",)), x=X),
    chain((ConvParams(np.ones((4, 6, 2, 2)), (2, 2), transposed=True, output_padding=(1, 0)), ("x",)), x=X),
    chain((ConvParams(np.ones((2, 6, 1, 1), np.int8)), ("x",)), x=X),
    chain((GOCParams(np.arange(6, dtype=np.float32) + np.float32(0.1), np.arange(6.0)), ("x",)), x=X),
    chain((GOCParams(2.0, np.arange(6.0)), ("x",)), x=X),
    chain((GOCParams(0.5, -3.0), ("x",)), x=X),
    chain((GOCParams(), ("x",)), x=X),
    chain((NeuronParams(NeuronKind.PRELU, slopes=np.arange(6, dtype=np.float32)), ("x",)), x=X),
    chain((NeuronParams(NeuronKind.CLAMP, -np.inf, 6.1), ("x",)), x=X),
    *(chain((NeuronParams(kind, 0.25, 0.75), ("x",)), x=X) for kind in NeuronKind if kind is not NeuronKind.PRELU),
    *(chain((ElementWiseParams(kind, 0.5), ("x", "z")), x=X, z=X) for kind in ElementWiseKind),
    chain((SelectParams(), ("x", "z", "x")), x=X, z=X),
    chain((BroadcastParams({W: 5, C: 2, D: 3}), ("x",)), x=TensorShape(2, 1, 3, 1)),
    chain((TileParams({N: 2, H: 3}), ("x",)), x=X),
    chain((PadParams({H: (1, 2), W: (0, 1)}, value=0.1), ("x",)), x=X),
    chain((ReshapeParams(TensorShape(2, 3, 4, 5)), ("x",)), x=X),
    chain((InputViewParams(C, 1, 2, 2), ("x",)), x=X),
    chain((TransposeParams((0, 2, 4, 1, 3)), ("x",)), x=X),
    chain((ConcatParams(W), ("x", "x", "z")), x=X, z=X),
    chain((PoolingParams(PoolingKind.AVERAGE, (3, 2), (2, 1), Pads(1, 0, 2, 1), True, (1, 2)), ("x",)), x=X),
    chain((ReductionParams(ReductionKind.MIN, frozenset({C, H})), ("x",)), x=X),
    chain((LayerNormParams(frozenset({W, C}), 1e-12, False), ("x",)), x=X),
    chain((SoftmaxParams(H, True), ("x",)), x=X),
    chain((LinearParams(np.ones((3, 5), np.float16)), ("x",)), x=X),
    chain((MatMulParams(False, True), ("x", "x")), x=X),
    chain((ConstantParams(np.ones((1, 2, 3, 4, 5))), ()), (GOCParams(), ("x",)), x=TensorShape(1, 1, 1, 1, 2)),
]


@pytest.mark.parametrize("net", EXAMPLES, ids=lambda net: type(net.units[0].params).__name__)
def test_every_unit_round_trips(net: Net, tmp_path: Path) -> None:
    write_net(net, tmp_path / "net.plist")
    assert_same(net, read_net(tmp_path / "net.plist"))


def test_every_unit_has_an_example() -> None:
    assert {type(unit.params) for net in EXAMPLES for unit in net.units} == set(UNITS.values())


def test_the_same_net_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_net(EXAMPLES[0], tmp_path / f"{name}.plist")
    a, b = (tmp_path / f"{name}.plist" for name in "ab")
    assert a.read_text().replace("a.weights", "b.weights") == b.read_text()
    assert a.with_suffix(".weights").read_bytes() == b.with_suffix(".weights").read_bytes()


def test_nothing_is_left_when_the_plist_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "net.plist").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_net(EXAMPLES[0], tmp_path / "net.plist")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.plist"]


def test_names_with_another_meaning_are_refused(tmp_path: Path) -> None:
    net = Net("net", {"Units": X}, {"y": "u"}, (Unit("u", GOCParams(), ("Units",)),))
    with pytest.raises(UnsupportedError, match="another meaning"):
        write_net(net, tmp_path / "net.plist")


@pytest.mark.parametrize("name", ["a\0b", "bell\7", "half \ud800"])
def test_names_that_xml_cannot_hold(name: str, tmp_path: Path) -> None:
    net = Net("net", {name: X}, {"y": "u"}, (Unit("u", GOCParams(), (name,)),))
    with pytest.raises(UnsupportedError, match="cannot be written"):
        write_net(net, tmp_path / "net.plist")
    assert not list(tmp_path.iterdir())


# -- bad files --------------------------------------------------------------------------------------------------


def good() -> dict[str, Any]:
    return {
        "Networks": ["net"],
        "Version": "1.0.9",
        "net": {
            "Inputs": ["x"],
            "Outputs": ["y@output"],
            "Units": ["a", "b"],
            "Weights": ["w.bin"],
            "x": {"InputChannels": 2, "InputHeight": 3, "InputWidth": 4, "InputType": "Float16"},
            "a": {
                "Bottom": "x",
                "Name": "a",
                "Type": "Conv",
                "OutputChannels": 2,
                "Params": {"KernelHeight": 1, "KernelWidth": 1, "KernelIndex": 0, "KernelOffset": 0},
            },
            "b": {"Bottom": "a", "Type": "Neuron", "Params": {"Type": "ReLU"}},
            "y@output": {"Bottom": "b"},
        },
    }


WEIGHTS = {"w.bin": bytes(64)}


def parse(content: dict[str, Any]) -> Net:
    return parse_net(plistlib.dumps(content), weights=WEIGHTS)


def test_the_good_file_is_good() -> None:
    assert [unit.name for unit in parse(good()).units] == ["a", "b"]


def test_units_out_of_order_are_sorted() -> None:
    content = good()
    content["net"]["Units"] = ["b", "a"]
    assert [unit.name for unit in parse(content).units] == ["a", "b"]


def edit(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return change


EXTENTS = ("InputChannels", "InputHeight", "InputWidth")


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (edit("Networks", to=[]), FormatError, "no Networks"),
        (edit("Networks", to=["net", "other"]), UnsupportedError, "several networks"),
        (edit("net", to=[]), FormatError, "not a dictionary"),
        (edit("ProcedureList", to=[]), UnsupportedError, "ProcedureList"),
        (edit("net", "Inputs", to=["x", "x"]), FormatError, "'x' twice"),
        (edit("net", "Inputs", to="nothing"), FormatError, "not a dictionary"),
        (edit("net", "x", "InputWidth", to=-1), FormatError, "InputWidth is wrong"),
        (edit("net", "x", "InputWidth", to=1 << 60), FormatError, "InputWidth is wrong"),
        (edit("net", "x", "InputWidth", to=True), FormatError, "InputWidth is wrong"),
        (edit("net", "x", "InputWidth", to="4"), FormatError, "InputWidth is wrong"),
        (edit("net", "x", to=dict.fromkeys(EXTENTS, 1 << 20)), ModelError, "a tensor is too large"),
        (edit("net", "x", "InputHeight", to=(1 << 24) + 1), FormatError, "InputHeight is wrong"),
        (edit("net", "x", "InputRowStride", to=128), UnsupportedError, "not the engine's own"),
        (edit("net", "x", "InputInterleave", to=4), UnsupportedError, "interleaved"),
        (edit("net", "x", "InputType", to="Int32"), UnsupportedError, "InputType"),
        (edit("net", "x", "Color", to="red"), UnsupportedError, "'Color' is not understood"),
        (edit("net", "a", "Bottom", to="nobody"), ModelError, "nothing defines"),
        (edit("net", "a", "Bottom", to=7), FormatError, "Bottom is wrong"),
        (edit("net", "a", "Bottom", to="b"), ModelError, "in a circle"),
        (edit("net", "a", "Bottom", to="a"), ModelError, "in a circle"),
        (edit("net", "a", "Bottom", to=["x", "x"]), ModelError, "wrong number of bottoms"),
        (edit("net", "a", "Type", to="Warp"), UnsupportedError, "'Warp' are not known"),
        (edit("net", "a", "Name", to="c"), FormatError, "Name and key differ"),
        (edit("net", "a", "OutputChannels", to=0), FormatError, "OutputChannels is wrong"),
        (edit("net", "a", "OutputChannels", to=1 << 22), FormatError, "does not fit in the file"),
        (edit("net", "a", "Params", to=[1]), FormatError, "not a dictionary"),
        (edit("net", "a", "Params", "KernelOffset", to=60), FormatError, "does not fit in the file"),
        (edit("net", "a", "Params", "KernelOffset", to=1 << 39), FormatError, "does not fit in the file"),
        (edit("net", "a", "Params", "KernelIndex", to=3), FormatError, "not listed"),
        (edit("net", "a", "Params", "KernelType", to="Palette"), UnsupportedError, "KernelType"),
        (edit("net", "a", "Params", "KernelMode", to="Sparse"), UnsupportedError, "dense"),
        (edit("net", "a", "Params", "KernelDepth", to=3), UnsupportedError, "Depth"),
        (edit("net", "a", "Params", "Step", to=[0, 1]), FormatError, "Step is wrong"),
        (edit("net", "a", "Params", "NumGroups", to=3), FormatError, "do not divide"),
        (edit("net", "a", "Params", "Secret", to=1), UnsupportedError, "'Secret' is not understood"),
        (edit("net", "b", "Params", "Type", to="Frobnicate"), UnsupportedError, "Type is not known"),
        (edit("net", "Units", to=["a", "b", "missing"]), FormatError, "'missing'.*not a dictionary"),
        (edit("net", "Outputs", to=[]), FormatError, "needs inputs and outputs"),
        (edit("net", "Outputs", to=["y", "y@output"]), FormatError, "not a dictionary|listed twice"),
        (edit("net", "y@output", "Bottom", to="zzz"), ModelError, "shows one unit"),
        (edit("net", "Weights", to=[".."]), FormatError, "not a name"),
        (edit("net", "Weights", to=["missing.bin"]), InputError, "is needed"),
    ],
)
def test_damage_gives_one_clear_error(
    change: Callable[[dict[str, Any]], None], kind: type[OpenaneError], message: str
) -> None:
    content = good()
    change(content)
    with pytest.raises(kind, match=message) as caught:
        parse(content)
    assert len(str(caught.value)) < 600


BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><plist version="1.0"><string>&c;</string></plist>"""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"bplist00",
        b"bplist00" + bytes(40),
        BILLION_LAUGHS,
        b'<?xml version="1.0"?><plist version="1.0"><dict><key>a',
        b"<plist>" + b"<array>" * 100_000,
        plistlib.dumps([1, 2]),
        plistlib.dumps({"a": 1}),
        plistlib.dumps({}, fmt=plistlib.FMT_BINARY)[:-5],
    ],
    ids=range(10),
)
def test_what_is_no_network_description(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_net(data)


SCALARS = st.one_of(
    st.none().map(lambda _: ""),
    st.booleans(),
    st.integers(-(1 << 62), 1 << 62),
    st.floats(allow_nan=False),
    st.text(max_size=5).filter(lambda text: text.isprintable()),
    st.just([]),
    st.just({}),
    st.just([-1, 3]),
)


@given(data=st.data())
@settings(deadline=None, derandomize=True, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_wrong_types_anywhere_never_crash(data: st.DataObject) -> None:
    content = good()
    place: Any = content
    for _ in range(4):
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(SCALARS)
    try:
        net = parse(content)
    except OpenaneError:
        return
    assert net.shapes


@given(st.data())
@settings(deadline=None, derandomize=True, max_examples=200)
def test_flipped_bytes_never_crash(data: st.DataObject) -> None:
    fmt = data.draw(st.sampled_from([plistlib.FMT_XML, plistlib.FMT_BINARY]))
    raw = bytearray(plistlib.dumps(good(), fmt=fmt))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(raw) // 2, len(raw)))
    with contextlib.suppress(OpenaneError):
        parse_net(bytes(raw[:cut]), weights=WEIGHTS)


# -- weight files -----------------------------------------------------------------------------------------------


def write_good(folder: Path, *names: str) -> Path:
    content = good()
    content["net"]["Weights"] = list(names)
    path = folder / "net.plist"
    path.write_bytes(plistlib.dumps(content))
    return path


@pytest.mark.parametrize("name", ["w.bin", "/private/var/w.bin", "../w.bin", "C:\\models\\w.bin"])
def test_weight_files_are_found_by_their_last_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.bin").write_bytes(np.full(4, 2, np.float16).tobytes())
    net = read_net(write_good(tmp_path, name))
    assert net.units[0].params.kernel.ravel().tolist() == [2] * 4  # type: ignore[attr-defined]


def test_files_that_are_not_used_may_be_missing(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    assert read_net(write_good(tmp_path, "w.bin", "/scratch/never.weights"))


def test_a_used_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unit 'a'.*'w.bin' is missing"):
        read_net(write_good(tmp_path, "elsewhere/w.bin"))


def test_an_absent_file_called_zero_reads_zeros(tmp_path: Path) -> None:
    net = read_net(write_good(tmp_path, "/scratch/zero"))
    assert not net.units[0].params.kernel.any()  # type: ignore[attr-defined]


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(bytes(64))
    (inside / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="leads out of the folder"):
        read_net(write_good(inside, "w.bin"))


def test_a_weight_file_that_is_empty_or_a_folder(tmp_path: Path) -> None:
    path = write_good(tmp_path, "w.bin")
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(FormatError, match="does not fit in the file"):
        read_net(path)
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").mkdir()
    with pytest.raises(InputError, match="is missing"):
        read_net(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_net(tmp_path / "none.plist")
    with pytest.raises(InputError, match="not a file"):
        read_net(tmp_path)


def test_bytes_as_inputs_keep_their_type(tmp_path: Path) -> None:
    net = Net("net", {"x": X}, {"y": "u"}, (Unit("u", GOCParams(), ("x",)),), {"x": DType.UINT8})
    write_net(net, tmp_path / "net.plist")
    assert read_net(tmp_path / "net.plist").input_dtypes == {"x": DType.UINT8}

"""PyTorch's exported programs: no byte of a file reaches an evaluator, an import, an unpickler or generated source.

Each attack is tried on PyTorch itself first, where it works: the same file must do nothing when openane reads it.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.json_positions import planted, positions

import openane
from openane.core.errors import FormatError, OpenaneError, UnsupportedError
from openane.frontends.torch.archive import rebuilt_archive
from openane.frontends.torch.program import validated_program

torch = pytest.importorskip("torch", reason="the package torch is missing")
pytest.importorskip("onnxscript", reason="the package onnxscript is missing")

MARK = "exploded"
CODE = f"__import__('os').mkdir('{MARK}')"
Members = dict[str, bytes]


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__("os").mkdir, (MARK,)


class Network(torch.nn.Module):  # type: ignore[misc]
    """Has a weight, a constant, a text argument, a None and a list: one of most kinds of things a program holds."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            y = torch.nn.functional.gelu(self.linear(x), approximate="tanh")
        return torch.cat([y, x + torch.tensor([3.0])], 1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """The members of a sound file."""
    path = tmp_path_factory.mktemp("torch") / "sound.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(Network().eval(), (torch.zeros(2, 4),)), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    assert not Path(MARK).exists()


def written(members: Members) -> Path:
    path = Path("model.pt2")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def member(members: Members, end: str) -> str:
    return next(name for name in members if name.endswith(end))


def changed(members: Members, end: str, change: Callable[[Any], None]) -> Members:
    """With one table changed."""
    name = member(members, end)
    table = json.loads(members[name])
    change(table)
    return {**members, name: json.dumps(table).encode()}


# Attacks ------------------------------------------------------------------------------------------------------------


def graph_of(program: dict[str, Any]) -> dict[str, Any]:
    return program["graph_module"]["graph"]


def expression(members: Members) -> Members:
    """A size that is Python source."""

    def change(program: Any) -> None:
        graph_of(program)["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": CODE, "hint": {"as_int": 2}}}

    return changed(members, "models/model.json", change)


def escaped(members: Members) -> Members:
    """The same with the field's name spelled in escapes."""
    name, found = member(members, "models/model.json"), expression(members)
    return {**found, name: found[name].replace(b'"as_expr"', b'"as_exp\\u0072"')}


def decoy(members: Members) -> Members:
    """A sound program, and another one under a name that only PyTorch takes for a program."""
    name = member(members, "models/model.json")
    more = {
        each.replace("model_", "evil_").replace("/model.pt", "/evil.pt"): data
        for each, data in members.items()
        if "/data/" in each
    }
    return {**more, **members, name.replace("model.json", "evil.JSON"): expression(members)[name]}


def function(members: Members) -> Members:
    """A target outside of the operators: torch.os is Python's module."""

    def change(program: Any) -> None:
        nodes = graph_of(program)["nodes"]
        argument = {"name": "", "arg": {"as_string": MARK}, "kind": 1}
        call = {"target": "torch.os.mkdir", "inputs": [argument], "outputs": [{"as_none": True}], "metadata": {}}
        nodes.insert(0, {**call, "name": "call"})

    return changed(members, "models/model.json", change)


def tree(members: Members) -> Members:
    """A tree of arguments that imports a module of the file's choice."""
    Path("planted_module.py").write_text(CODE)

    def change(program: Any) -> None:
        context = {"default_factory_module": "planted_module", "default_factory_name": "x", "dict_context": []}
        spec = {"type": "collections.defaultdict", "context": context, "children_spec": []}
        program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])

    return changed(members, "models/model.json", change)


def guard(members: Members) -> Members:
    """A check of the inputs that is Python source."""

    def change(program: Any) -> None:
        program["guards_code"] = [CODE]

    return changed(members, "models/model.json", change)


def renamed_node(members: Members) -> Members:
    """A node whose name ends the line of generated source that it is in."""
    name = member(members, "models/model.json")
    return {**members, name: members[name].replace(b'"gelu"', json.dumps(f"gelu = 0; {CODE}; gelu").encode())}


def pickled_weight(members: Members) -> Members:
    buffer = io.BytesIO()
    torch.save(Bomb(), buffer)

    def change(table: Any) -> None:
        table["config"]["linear.weight"] |= {"use_pickle": True, "tensor_meta": None}

    found = changed(members, "model_weights_config.json", change)
    return {**found, member(members, "weight_0"): buffer.getvalue()}


def pickled_constant(members: Members) -> Members:
    def change(table: Any) -> None:
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        table["config"]["more"] = entry

    name = member(members, "model_constants_config.json")
    found = changed(members, "model_constants_config.json", change)
    return {**found, name.replace("model_constants_config.json", "opaque_obj_0"): pickle.dumps(Bomb())}


def pickled_inputs(members: Members) -> Members:
    buffer = io.BytesIO()
    torch.save(((Bomb(),), {}), buffer)
    return {**members, member(members, "sample_inputs/model.pt"): buffer.getvalue()}


def legacy_weights(members: Members) -> Members:
    """Weights in the place of an earlier layout."""
    buffer = io.BytesIO()
    torch.save({"w": Bomb()}, buffer)
    name = member(members, "model_weights_config.json").replace("model_weights_config.json", "model.pt")
    return {**members, name: buffer.getvalue()}


def legacy_layout(members: Members) -> Members:
    """The archive of PyTorch 2.5."""
    buffer = io.BytesIO()
    torch.save({"w": Bomb()}, buffer)
    empty = io.BytesIO()
    torch.save({}, empty)
    return {
        "version": b"8.5",
        "serialized_exported_program.json": members[member(members, "models/model.json")],
        "serialized_state_dict.pt": empty.getvalue(),
        "serialized_constants.pt": buffer.getvalue(),
        "serialized_example_inputs.pt": empty.getvalue(),
    }


ATTACKS = (expression, escaped, decoy, tree, guard)
PICKLES = (pickled_weight, pickled_constant, pickled_inputs, legacy_weights, legacy_layout)


@pytest.mark.parametrize("attack", ATTACKS + PICKLES, ids=lambda attack: attack.__name__)
def test_attack(sound: Members, attack: Callable[[Members], Members]) -> None:
    path = written(attack(sound))
    with contextlib.suppress(OpenaneError):
        openane.load(path)
    assert not Path(MARK).exists()
    with contextlib.suppress(OpenaneError), zipfile.ZipFile(rebuilt_archive(path)) as archive:
        assert not [name for name in archive.namelist() if MARK.encode() in archive.read(name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):
            torch.export.load(path).module()(torch.zeros(2, 4))
    assert Path(MARK).exists(), "the file is harmless, so the test shows nothing"
    Path(MARK).rmdir()


@pytest.mark.parametrize("attack", [function, renamed_node], ids=lambda attack: attack.__name__)
def test_what_pytorch_may_refuse_too(sound: Members, attack: Callable[[Members], Members]) -> None:
    with pytest.raises(OpenaneError, match=r"not a tensor operator|a plain name is expected"):
        openane.load(written(attack(sound)))


def test_libraries_are_left_out(sound: Members) -> None:
    """PyTorch loads compiled code that comes with a program."""
    root = next(iter(sound)).split("/")[0]
    library = {f"{root}/data/aotinductor/evil/x.so": b"\x7fELF", f"{root}/extra/x": b"more"}
    with zipfile.ZipFile(rebuilt_archive(written({**sound, **library}))) as archive:
        names = archive.namelist()
    assert not [name for name in names if "aotinductor" in name or "extra" in name]


# Every position -----------------------------------------------------------------------------------------------------

PAYLOADS = (CODE, "torch.os:mkdir", "__class__", 'x"y', "a;b", "x\ny", "../../x", "été")


def test_no_planted_text_survives(sound: Members) -> None:
    program = json.loads(sound[member(sound, "models/model.json")])
    tried = refused = 0
    for path in positions(program, str):
        for text in PAYLOADS:
            tried += 1
            try:
                found = validated_program(planted(program, path, text), "x")
            except (FormatError, UnsupportedError):
                refused += 1
                continue
            assert json.dumps(text) not in json.dumps(found), path
    assert tried > 3000
    assert refused > tried / 4


@pytest.mark.parametrize("end", ["model_weights_config.json", "model_constants_config.json"])
def test_no_planted_text_survives_in_tables(sound: Members, end: str) -> None:
    table = json.loads(sound[member(sound, end)])
    for path in positions(table):
        for text in PAYLOADS:
            data = json.dumps(planted(table, path, text)).encode()
            try:
                archive = rebuilt_archive(written({**sound, member(sound, end): data}))
            except (FormatError, UnsupportedError):
                continue
            with zipfile.ZipFile(archive) as rebuilt:
                kept = rebuilt.read(f"program/{member(sound, end).split('/', 1)[1]}")
            assert json.dumps(text).encode() not in kept


# Tensors and operators ----------------------------------------------------------------------------------------------


def meta_change(**fields: Any) -> Callable[[Any], None]:
    def change(table: Any) -> None:
        table["config"]["linear.weight"]["tensor_meta"] |= fields

    return change


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": [{"as_int": 400}, {"as_int": 4}]}, "beyond its bytes"),
        ({"storage_offset": {"as_int": 1}}, "beyond its bytes"),
        ({"strides": [{"as_int": -4}, {"as_int": 1}]}, "strides are wrong"),
        ({"sizes": [{"as_int": 1 << 40}, {"as_int": 4}], "strides": [{"as_int": 0}, {"as_int": 1}]}, "absurdly"),
        ({"dtype": 99}, "an integer is expected"),
        ({"dtype": 20}, "type, sizes or strides"),
        ({"device": {"type": "cuda", "index": 0}}, "the device 'cpu' is expected"),
        ({"sizes": [{"as_int": True}, {"as_int": 4}]}, "an integer is expected"),
    ],
)
def test_tensor_tables(sound: Members, fields: dict[str, Any], message: str) -> None:
    path = written(changed(sound, "model_weights_config.json", meta_change(**fields)))
    with pytest.raises(FormatError, match=message):
        openane.load(path)


@pytest.mark.parametrize(
    "target",
    [
        *("torch.load", "torch.ops.load_library", "torch.ops.aten.from_file.default", "torch.ops.aten.save.default"),
        *("torch.ops.aten.warn.default", "torch.ops.aten.__class__.__init__", "torch.ops.aten.relu"),
        *("torch.ops.higher_order.print", "torch.ops.prim.Print.default", "_operator.attrgetter", "math.floor"),
        *("torch.ops.aten.relu.nothing", "torch.ops.aten.relu.default.__call__", "#ext:x", "torch.ops.aten.len.str"),
    ],
)
def test_targets(sound: Members, target: str) -> None:
    def change(program: Any) -> None:
        graph_of(program)["nodes"][-1]["target"] = target

    with pytest.raises(UnsupportedError, match="not a tensor operator"):
        openane.load(written(changed(sound, "models/model.json", change)))


def test_open_sizes_and_expressions(sound: Members) -> None:
    for text, message in (("s0", "open .symbolic. sizes"), ("s0 + 1", "never evaluated"), ("f(2)", "never evaluated")):

        def change(program: Any, text: str = text) -> None:
            graph_of(program)["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": text}}

        with pytest.raises(UnsupportedError, match=message):
            openane.load(written(changed(sound, "models/model.json", change)))


def test_an_expression_that_is_an_integer(sound: Members) -> None:
    def change(program: Any) -> None:
        graph_of(program)["tensor_values"]["x"]["sizes"][0] = {"as_expr": {"expr_str": "2", "hint": {"as_int": 2}}}

    graph = openane.load(written(changed(sound, "models/model.json", change)))
    assert graph.inputs["x"].shape == (2, 4)


@pytest.mark.parametrize("name", ["lambda", "x" * 501, "__init__", "1x", "x.y", ""])
def test_names(sound: Members, name: str) -> None:
    def change(program: Any) -> None:
        graph_of(program)["tensor_values"][name] = graph_of(program)["tensor_values"].pop("x")

    with pytest.raises(FormatError, match="a plain name is expected"):
        openane.load(written(changed(sound, "models/model.json", change)))


def test_two_members_of_one_name(sound: Members) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = written(sound)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member(sound, "models/model.json"), b"{}")
    with pytest.raises(FormatError, match="same name"):
        openane.load(path)


def test_what_pytorch_computes(sound: Members) -> None:
    """The rebuilt program is the program."""
    path = written(sound)
    x = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = torch.export.load(path).module()(torch.from_numpy(x)).detach().numpy()
        found = torch.export.load(rebuilt_archive(path)).module()(torch.from_numpy(x))[0].detach().numpy()
    np.testing.assert_array_equal(found, wanted)


class Everyday(torch.nn.Module):  # type: ignore[misc]
    """What most networks are made of, in one program: tied and half-precision weights, buffers, nested results."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.words, self.head = nn.Embedding(20, 8, padding_idx=0), nn.Linear(8, 20, bias=False)
        self.head.weight = self.words.weight
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, activation="gelu", batch_first=True)
        self.recurrent = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
        self.image = nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.Hardswish())
        self.norms = nn.Sequential(nn.GroupNorm(2, 4), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.rounded = nn.Linear(8, 8).half()
        self.register_buffer("offset", torch.arange(8.0), persistent=False)

    def forward(self, words: Any, image: Any, more: dict[str, Any], *, scale: Any) -> dict[str, Any]:
        functional = torch.nn.functional
        x = self.encoder(self.words(words)) + self.offset * scale
        x = functional.scaled_dot_product_attention(x, x, x, is_causal=True)
        x, _ = self.recurrent(x)
        padded = functional.pad(self.norms(self.image(image)), (1, 1, 1, 1), mode="reflect")
        moved = torch.cond(more["a"].sum() > 0, lambda y: y + 1, lambda y: y - 1, (more["a"],))
        return {
            "scores": self.head(x).log_softmax(-1),
            "more": [self.rounded(more["b"][0].half()), torch.einsum("...ij->...ji", padded), (moved, words // 2)],
            "sorted": (torch.linalg.svd(moved, full_matrices=False)[1], moved.div(3, rounding_mode="floor")),
        }


def test_everyday_programs_are_not_refused(folder: Path) -> None:
    a = torch.linspace(-1, 1, 16).reshape(2, 8)
    inputs = torch.arange(7)[None], torch.linspace(0, 1, 768).reshape(1, 3, 16, 16), {"a": a, "b": (a,)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(Everyday().eval(), inputs, {"scale": torch.tensor(0.5)})
        torch.export.save(exported, "model.pt2")
        wanted = torch.utils._pytree.tree_leaves(exported.module()(*inputs, scale=torch.tensor(0.5)))
        found = torch.export.load(rebuilt_archive(Path("model.pt2"))).module()
        results = found(*inputs[:2], a, a, torch.tensor(0.5))
    assert len(results) == len(wanted) == 7
    for one, other in zip(results, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)

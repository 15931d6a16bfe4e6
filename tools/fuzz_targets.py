"""Every way for untrusted bytes into openane: the readers that tools/fuzz_readers.py gives damaged input."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import click
from fuzz_changes import (
    Change,
    change_any,
    change_bytes,
    change_json,
    change_json_line,
    change_plist,
    change_protobuf,
    change_zip,
)
from fuzz_inputs import (
    AMOUNTS,
    COMMANDS,
    CONSTANTS,
    JOURNAL_HEAD,
    PATCHES,
    SHAPES,
    arrays,
    files,
    foreign_files,
    journals,
    pictures,
    tables,
)
from fuzz_models import EXTERNAL, coreml_models, mil_models, onnx_models
from fuzz_programs import (
    assembly_seeds,
    change_tasks,
    sometimes,
    use_anec,
    use_assembly,
    use_container,
    use_hwx,
    use_simulator,
    use_sniff,
)

from openane.analysis.dataset import Dataset
from openane.analysis.evaluate import summarize
from openane.analysis.journal import EvaluationJob, Journal
from openane.artifact.cache import SUFFIX, Cache
from openane.cli import root
from openane.cli._inputs import read_array, read_inputs
from openane.cli._options import ByteCount, Seconds, parse_constants
from openane.cli._show import parse_shapes
from openane.compiler.driver import Options, build, load
from openane.core.errors import OpenaneError
from openane.formats.hwx import read_hwx
from openane.formats.sniff import FileKind, sniff
from openane.frontends.mil.blob import BLOB_TYPES, SENTINEL, BlobStore
from openane.graph import Graph, TensorType
from openane.net import Net
from openane.net.plist import describe_net, parse_net
from openane.program import Program
from openane.program.patch import Patch, apply_patches
from openane.targets import load_program
from openane.viewer.page import page

LIMIT_SECONDS = 1.0
"""Of processor time, so that a busy machine makes no findings."""
FOREIGN_LIMIT_SECONDS = 30.0
"""The same where Keras and PyTorch translate the model, at their own pace."""
BUILD_EVERY = 16
"""One in so many models that can be read is compiled as well."""
COMPILE_SECONDS = LIMIT_SECONDS / 2
"""The limit that the compiler is given; what it does not notice in time is a finding."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A way for bytes into openane.

    Attributes:
        seeds: sound inputs; none where a package that makes them is missing.
        use: reads bytes; the folder is for what must lie in a file.
        change: makes damaged inputs of sound ones.
        kinds: of found files that are inputs as well.
        share: of the time; cheap readers need less of it for as many runs.
        limit_seconds: of processor time for one input.
    """

    seeds: Callable[[], Sequence[bytes]]
    use: Callable[[bytes, Path], None]
    change: Change = change_bytes
    kinds: tuple[FileKind, ...] = ()
    share: float = 1.0
    limit_seconds: float = LIMIT_SECONDS


def _compile(level: Graph | Net | Program) -> None:
    build(level, Options(time_limit_seconds=COMPILE_SECONDS))


# Models --------------------------------------------------------------------------------------------------------------


class _AnyFile(Mapping[str, bytes]):
    """The same content under every name."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __getitem__(self, name: str) -> bytes:
        return self._data

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _use_plist(data: bytes, _: Path) -> None:
    net = parse_net(data, weights=_AnyFile(files()["made.weights"].ljust(1 << 16, b"\0")))
    if sometimes(data, 4):
        describe_net(net, "weights.bin")
    if sometimes(data, BUILD_EVERY):
        _compile(net)


def _use_weights(data: bytes, folder: Path) -> None:
    """A sound net.plist, and every constant of a weight file of Core ML, whose files are damaged."""
    with suppress(OpenaneError):
        parse_net(files()["made.plist"], weights=_AnyFile(data))
    _write(folder / "weight.bin", data)
    store = BlobStore(folder)
    for place in range(64, min(len(data), 1024), 64):
        if data[place : place + 4] != _SENTINEL:
            continue
        kind = BLOB_TYPES.get(_BLOB_NAMES.get(int.from_bytes(data[place + 4 : place + 8], "little"), ""))
        size_bytes = int.from_bytes(data[place + 8 : place + 16], "little")
        with suppress(OpenaneError):
            store.read("@model_path/weight.bin", place, kind or BLOB_TYPES["fp16"], size_bytes // 2)


_SENTINEL = SENTINEL.to_bytes(4, "little")
_BLOB_NAMES = {kind.code: kind.name for kind in BLOB_TYPES.values()}


def _write(path: Path, data: bytes) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
    path.write_bytes(data)


def _use_model(ending: str) -> Callable[[bytes, Path], None]:
    def use(data: bytes, folder: Path) -> None:
        path = folder / f"model{ending}"
        path.write_bytes(data)
        weights = folder / _BESIDE.get(ending, "")
        if ending in _BESIDE and not weights.exists():
            _write(weights, files()["weights/weight.bin"])
        if ending in _OWN and sniff(data) in _FOREIGN:  # starts another library, which has a target of its own
            return
        model = load(path)
        if sometimes(data, BUILD_EVERY):
            _compile(model)

    return use


_BESIDE = {".mil": "weights/weight.bin", ".onnx": EXTERNAL}
"""Where models of that ending find weights outside of themselves."""
_OWN = frozenset({".mil", ".onnx", ".mlmodel"})
"""Endings of models that openane reads itself; the content decides what is read."""
_FOREIGN = frozenset({FileKind.HDF5, FileKind.KERAS, FileKind.PT2})


_PACKAGE = "made.mlpackage/"


def _package_files() -> list[str]:
    return [name for name in files() if name.startswith(_PACKAGE)]


def _use_package(data: bytes, folder: Path) -> None:
    """A package one of whose files is damaged: the first byte of the input says which."""
    names = _package_files()
    chosen = names[data[0] % len(names)] if data else ""
    for name in names:
        _write(folder / name, data[1:] if name == chosen else files()[name])
    model = load(folder / _PACKAGE)
    if sometimes(data, BUILD_EVERY):
        _compile(model)


def _package_seeds() -> list[bytes]:
    return [bytes([number]) + files()[name] for number, name in enumerate(_package_files())]


def _change_package(data: bytes, source: random.Random) -> bytes:
    names = _package_files()
    inner = _by_name(names[data[0] % len(names)]) if data else change_bytes
    return data[:1] + inner(data[1:], source)


def _by_name(name: str) -> Change:
    """How to change a file of that name."""
    if name.endswith(".json"):
        return change_any(change_json)
    return change_any(change_protobuf) if name.endswith(".mlmodel") else change_bytes


# Arrays, data sets, journals, the cache ----------------------------------------------------------------------------


def _use_array(data: bytes, folder: Path) -> None:
    for ending, use in ((".npy", read_array), (".npz", _use_dataset)):
        path = folder / f"array{ending}"
        path.write_bytes(data)
        with suppress(OpenaneError):
            use(path)


def _use_dataset(path: Path) -> None:
    dataset = Dataset(path, {"x": TensorType((1, 3, 6, 6))})
    for number in range(min(len(dataset), 3)):
        dataset[number]


def _use_table(data: bytes, folder: Path) -> None:
    path = folder / "set.parquet"
    path.write_bytes(data)
    _use_dataset(path)


def _use_picture(data: bytes, folder: Path) -> None:
    _write(folder / "pictures" / "picture.png", data)
    _use_dataset(folder / "pictures")


def _use_journal(data: bytes, folder: Path) -> None:
    """A journal of an evaluation; JOURNAL_HEAD means the line that belongs to the folder."""
    path, job = folder / "journal.jsonl", _job(folder)
    path.write_bytes(data.replace(JOURNAL_HEAD, _journal_head(folder)))
    with Journal(path, job) as journal:
        summarize(job, journal.pieces.values())


def _job(folder: Path) -> EvaluationJob:
    return EvaluationJob(str(folder / "model"), str(folder / "set"), "top1")


@lru_cache(maxsize=1)
def _journal_head(folder: Path) -> bytes:
    """The first line of a new journal."""
    for name in ("model", "set"):
        (folder / name).write_bytes(b"")
    with Journal(folder / "new.jsonl", _job(folder)):
        return (folder / "new.jsonl").read_bytes()


def _use_cache(data: bytes, folder: Path) -> None:
    """An entry that someone else wrote; it must verify or be taken for missing."""
    (folder / f"key{SUFFIX}").write_bytes(data)
    artifact = Cache(folder).get("key")
    if artifact is not None:
        assert all(isinstance(program, Program) for program in artifact.programs)
        assert set(artifact.plan.outputs) <= set(artifact.plan.types)


def _cache_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small.hwx").write_bytes(files()["small.hwx"])
        Cache(folder).put("key", build(folder / "small.hwx"))
        return [path.read_bytes() for path in folder.glob(f"*{SUFFIX}")]


def _change_cache(data: bytes, source: random.Random) -> bytes:
    """A change of head or payload under a digest that is right."""
    line, _, payload = data.partition(b"\n")
    if source.random() < 0.3:
        payload = change_bytes(payload, source)
    head = json.loads(change_json(line, source) if source.random() < 0.8 else line)
    if isinstance(head, dict):
        head["sha256"] = hashlib.sha256(payload).hexdigest()
    return json.dumps(head).encode() + b"\n" + payload


# What people write, and what they see --------------------------------------------------------------------------------


@cache
def _small_program() -> Program:
    return load_program(read_hwx(files()["small.hwx"]))


def _use_patch(data: bytes, _: Path) -> None:
    apply_patches(_small_program(), [Patch.parse(data.decode("utf-8", "replace"))])


def _use_option(data: bytes, folder: Path) -> None:
    texts = (str(folder / "none") if len(data) > 1 << 12 else "", data.decode("utf-8", "replace"))
    for parse in (parse_shapes, parse_constants, _parse_inputs):
        with suppress(OpenaneError):
            parse(texts[1:])
    for kind in (ByteCount(), Seconds()):
        with suppress(click.BadParameter):
            kind.convert(texts[1], None, None)


def _parse_inputs(texts: tuple[str, ...]) -> None:
    read_inputs(texts, {"x": TensorType((2, 3)), "y:0": TensorType((1,))})


def _use_command(data: bytes, _: Path) -> None:
    """The options of a verb, as far as they are understood before it runs."""
    verb, *words = data.decode("utf-8", "replace").replace("\0", "").split("\n")
    if verb not in _VERBS or any(word.startswith(("-h", "--h")) and word != "--host" for word in words):
        return
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    with suppress(click.ClickException, click.exceptions.Exit):
        choices: Mapping[str, Any] = command.make_context(verb, words).params
        parse_shapes(choices.get("shapes", ()))
        parse_constants(choices.get("constants", ()))


_VERBS = frozenset(line.partition("\n")[0] for line in COMMANDS)


class _Scripts(HTMLParser):
    """Counts what a page would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def _use_page(data: bytes, _: Path) -> None:
    """A page whose names are hostile has the elements of one whose names are not."""
    name = data.decode("utf-8", "replace")
    text = page({"title": name, "format": 1, "tensors": [name, {name: float("nan")}]})
    text.encode()
    scripts = _Scripts()
    scripts.feed(text)
    assert scripts.found == _page_elements()


@cache
def _page_elements() -> list[tuple[str, tuple[str, ...]]]:
    scripts = _Scripts()
    scripts.feed(page({"title": "x", "format": 1, "tensors": ["x"]}))
    return scripts.found


def _texts(*texts: str) -> Callable[[], list[bytes]]:
    return lambda: [text.encode() for text in texts]


def _seeds(*endings: str) -> Callable[[], list[bytes]]:
    return lambda: [content for name, content in files().items() if name.endswith(endings) and "/" not in name]


def _foreign(ending: str) -> Callable[[], list[bytes]]:
    return lambda: [content for name, content in foreign_files().items() if name.endswith(ending)]


def _with(first: Callable[[], Sequence[bytes]], second: Callable[[], Sequence[bytes]]) -> Callable[[], list[bytes]]:
    return lambda: [*first(), *second()]


_NAMES = ("</script><img src=x onerror=alert(1)>", "<!--<script>", "@DATA@", "a&amp;b\u2028\"'")
_PROTOBUF = change_any(change_protobuf)
READERS: Mapping[str, Reader] = {
    "sniff": Reader(_seeds(""), use_sniff, share=0.5),
    "hwx": Reader(_seeds(".hwx"), use_hwx, kinds=(FileKind.HWX,)),
    "anec": Reader(_seeds(".anec"), use_anec, kinds=(FileKind.ANEC,)),
    "container": Reader(_seeds(".hwx", ".anec"), use_container, kinds=(FileKind.HWX, FileKind.ANEC)),
    "simulator": Reader(_seeds(".hwx"), use_simulator, change_any(change_tasks), (FileKind.HWX,)),
    "assembly": Reader(assembly_seeds, use_assembly, kinds=(FileKind.ASSEMBLY,)),
    "plist": Reader(_seeds(".plist"), _use_plist, change_any(change_plist), (FileKind.PLIST,)),
    "weights": Reader(lambda: [files()["made.weights"], files()["weights/weight.bin"]], _use_weights),
    "mil": Reader(_with(_seeds(".mil"), mil_models), _use_model(".mil"), kinds=(FileKind.MIL,)),
    "onnx": Reader(_with(_seeds(".onnx"), onnx_models), _use_model(".onnx"), _PROTOBUF, (FileKind.ONNX,)),
    "mlmodel": Reader(_with(_seeds(".mlmodel"), coreml_models), _use_model(".mlmodel"), _PROTOBUF, (FileKind.MLMODEL,)),
    "package": Reader(_package_seeds, _use_package, _change_package),
    "keras": Reader(
        _foreign(".keras"),
        _use_model(".keras"),
        change_any(change_zip(_by_name)),
        limit_seconds=FOREIGN_LIMIT_SECONDS,
    ),
    "hdf5": Reader(_foreign(".h5"), _use_model(".h5"), limit_seconds=FOREIGN_LIMIT_SECONDS),
    "pt2": Reader(
        _foreign(".pt2"), _use_model(".pt2"), change_any(change_zip(_by_name)), limit_seconds=FOREIGN_LIMIT_SECONDS
    ),
    "array": Reader(arrays, _use_array, change_any(change_zip(lambda _: change_bytes))),
    "table": Reader(tables, _use_table),
    "picture": Reader(pictures, _use_picture),
    "journal": Reader(journals, _use_journal, change_any(change_json_line)),
    "cache": Reader(_cache_seeds, _use_cache, change_any(_change_cache)),
    "patch": Reader(_texts(*PATCHES), _use_patch, share=0.5),
    "option": Reader(_texts(*SHAPES, *CONSTANTS, *AMOUNTS), _use_option, share=0.5),
    "command": Reader(_texts(*COMMANDS), _use_command),
    "page": Reader(_texts(*_NAMES), _use_page),
}


def exercise(name: str, data: bytes, folder: Path) -> None:
    """Lets a reader read; every OpenaneError is a good answer, all else is a finding."""
    try:
        READERS[name].use(data, folder)
    except OpenaneError as error:
        assert str(error)
        if any(isinstance(cause, MemoryError) for cause in _causes(error)):
            raise MemoryError("the error hides that memory ran out") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it; errors that lead to themselves end the walk."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__

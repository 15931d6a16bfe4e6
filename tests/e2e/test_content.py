"""What hostile content must not do: run code, eat the machine, poison the cache, speak in the browser."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import openane
from openane.analysis.dataset import Dataset
from openane.artifact.cache import SUFFIX, Cache
from openane.cli import main
from openane.cli._inputs import read_array
from openane.compiler.cached_build import build_cached, key_of
from openane.compiler.driver import Options
from openane.core.errors import FormatError, InputError, OpenaneError
from openane.core.files import read_npz
from openane.graph import Graph, Node, TensorType, ops
from openane.runtimes.runtime import SessionOptions

PACKAGE = Path(openane.__file__).parent
DIGITS = PACKAGE / "data" / "digits.onnx"

UNPICKLERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "joblib.load",
    "pandas.read_pickle",
}


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.fixture(autouse=True)
def nothing_explodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Every test runs in a folder of its own, in which nothing may have gone off."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("exploded").exists()


# Code ---------------------------------------------------------------------------------------------------------------


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_source_unpickles_or_evaluates(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & UNPICKLERS
        elif isinstance(node, ast.ImportFrom):
            assert node.module not in UNPICKLERS
            assert not {f"{node.module}.{alias.name}" for alias in node.names} & UNPICKLERS
        elif isinstance(node, ast.Call):
            _check_call(node)


def _check_call(node: ast.Call) -> None:
    called = ast.unparse(node.func)
    assert called not in {"eval", "exec", "__import__", "os.system", "torch.load", "joblib.load", "yaml.load"}
    values = {word.arg: word.value for word in node.keywords}
    if called in {"np.load", "numpy.load", "np.lib.format.read_array"}:
        assert ast.unparse(values["allow_pickle"]) == "False"
    if called.endswith(("load_model", "load_weights")) and "saving" in called:
        assert ast.unparse(values["safe_mode"]) == "True"
    if called.startswith("subprocess."):
        assert "shell" not in values


def pickled_array(path: Path) -> Path:
    np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    return path


def test_pickled_npy() -> None:
    with pytest.raises(InputError, match=r"not a \.npy array"):
        read_array(pickled_array(Path("x.npy")))


def test_bare_pickle_for_an_array() -> None:
    Path("x.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(OpenaneError):
        read_array(Path("x.npy"))


def test_pickled_arrays_in_a_data_set() -> None:
    Path("data").mkdir()
    np.savez("data/x.npz", x=np.array([Bomb()], dtype=object))
    pickled_array(Path("data/y.npy"))
    dataset = Dataset(Path("data"), {"x": TensorType((1,))})
    for number in range(2):
        with pytest.raises(FormatError):
            dataset[number]


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.onnx", "m.bin"])
def test_pickles_as_models(name: str) -> None:
    Path(name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(OpenaneError):
        openane.load(name)


def archive(path: str, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return Path(path)


def test_torchscript_and_weights_archives() -> None:
    for more in ({}, {"m__constants_dot_pkl": b""}):
        with pytest.raises(OpenaneError):
            openane.load(archive("m.pt", m__data_dot_pkl=pickle.dumps(Bomb()), **more))


def test_exported_program_with_pickled_constants() -> None:
    for name in ("torch", "onnxscript"):
        pytest.importorskip(name, reason=f"the package {name} is missing")
    table = json.dumps({"config": {"bomb": {"path_name": "custom_obj_0", "use_pickle": True}}}).encode()
    members = {
        "m__models__model_dot_json": b"{}",
        "m__data__constants__model_constants_config_dot_json": table,
        "m__data__constants__custom_obj_0": pickle.dumps(Bomb()),
    }
    with pytest.raises(OpenaneError, match="pickled"):
        openane.load(archive("m.pt2", **members))


# The machine --------------------------------------------------------------------------------------------------------


def test_archive_bombs() -> None:
    zeros = bytes(64 << 20)
    bombs = {
        "m.pt2": {"m__models__model_dot_json": zeros},
        "m.keras": {"config_dot_json": zeros, "metadata_dot_json": b"{}", "model_dot_weights_dot_h5": b""},
    }
    for name, members in bombs.items():
        with pytest.raises(OpenaneError):
            openane.load(archive(name, **members))


def test_pictures_in_formats_that_start_programs() -> None:
    """Pillow goes by content, and hands PostScript to an interpreter."""
    pytest.importorskip("PIL", reason="the package Pillow is missing")
    Path("data").mkdir()
    script = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(exploded) (w) file closefile\nshowpage\n"
    Path("data/x.png").write_text(script)
    with pytest.raises(FormatError, match="not a sample"):
        Dataset(Path("data"), {"x": TensorType((1, 3, 8, 8))})[0]


@pytest.mark.parametrize("kind", ["PPM", "TIFF", "ICO"])
def test_pictures_in_other_formats_than_their_name_says(kind: str) -> None:
    """Not even harmless ones are opened: which format starts programs is for nobody to remember."""
    image = pytest.importorskip("PIL.Image", reason="the package Pillow is missing")
    Path("data").mkdir()
    image.new("RGB", (16, 16)).save("data/x.png", format=kind)
    with pytest.raises(FormatError, match="not a sample"):
        Dataset(Path("data"), {"x": TensorType((1, 3, 8, 8))})[0]


def test_time_limit_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given reaches the sessions; there is a limit when nothing is given."""
    seen: list[float | None] = []

    def look(*_: object, **words: Any) -> None:
        options = words.get("options") or next(each for each in _ if isinstance(each, SessionOptions))
        seen.append(options.simulation.time_limit_seconds)
        raise InputError("seen")

    monkeypatch.setattr("openane.runtimes.execution.Execution", look)
    monkeypatch.setattr("openane.analysis.compare.compare_layers", look)
    for verb in ("run", "compare"):
        for more in ([], ["--time-limit", "1.5"], ["--time-limit", "0"]):
            with pytest.raises(SystemExit):
                main([verb, str(DIGITS), *more])
    assert seen == [600.0, 1.5, None] * 2
    for bad in ("nan", "-1", "inf", "soon"):
        with pytest.raises(SystemExit) as stop:
            main(["run", str(DIGITS), "--time-limit", bad])
        assert stop.value.code == 2


def test_memory_limit_of_other_verbs(capfd: pytest.CaptureFixture[str]) -> None:
    np.savez("d.npz", image=np.zeros((1, 1, 28, 28), np.float32), labels=np.zeros(1, np.int64))
    for command in (["compare", str(DIGITS)], ["eval", str(DIGITS), "d.npz", "--no-cache"]):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--memory-limit", "1K"])
        assert stop.value.code == 2
        assert "1024 bytes" in capfd.readouterr().err


def header(shape: str, descr: str = "<f4") -> bytes:
    """A .npy file that says it is large, and is not."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


@pytest.mark.parametrize(
    "shape", ["(1 << 62,)", "(99999999999999999999,)", "(1000000000000,)", "(-1,)", "(1,) * 99", "(1,", "(" * 90]
)
def test_arrays_that_say_they_are_large(shape: str) -> None:
    Path("x.npy").write_bytes(header(shape))
    with pytest.raises(InputError):
        read_array(Path("x.npy"))


def test_bomb_in_a_data_set() -> None:
    Path("data").mkdir()
    content = io.BytesIO()
    np.save(content, np.zeros(100 << 20, np.uint8))
    archive("data/x.npz", x_dot_npy=content.getvalue())
    dataset = Dataset(Path("data"), {"x": TensorType((1,))})
    with pytest.raises(FormatError):
        dataset[0]


def test_a_member_that_expands_absurdly() -> None:
    """LZMA packs zeros a hundred times better than what numpy writes."""
    content = io.BytesIO()
    np.save(content, np.zeros(32 << 20, np.uint8))
    with zipfile.ZipFile("x.npz", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("x.npy", content.getvalue())
    with pytest.raises(FormatError, match="expands absurdly"):
        read_npz(Path("x.npz"))


def test_sizes_are_added_up_before_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez("x.npz", a=np.arange(100.0), b=np.arange(100.0))
    monkeypatch.setattr("openane.core.files.ARCHIVE_LIMIT_BYTES", 1500)
    with pytest.raises(FormatError, match="too large when unpacked"):
        read_npz(Path("x.npz"))


@pytest.mark.parametrize("extent", [12, 30])
def test_pictures_that_unpack_to_much(extent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns above its limit and refuses above twice as much; both are errors here."""
    image = pytest.importorskip("PIL.Image", reason="the package Pillow is missing")
    Path("data").mkdir()
    image.new("L", (extent, extent)).save("data/x.png")
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(FormatError, match="absurdly large"):
        Dataset(Path("data"), {"x": TensorType((1, 1, 8, 8))})[0]


def test_a_picture_whose_file_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image", reason="the package Pillow is missing")
    Path("data").mkdir()
    image.new("L", (8, 8)).save("data/x.png")
    monkeypatch.setattr("openane.analysis.dataset._PICTURE_BYTES", 10)
    with pytest.raises(FormatError, match="file is too large"):
        Dataset(Path("data"), {"x": TensorType((1, 1, 8, 8))})[0]


@pytest.mark.parametrize(
    ("limit", "message"),
    [("GROUP_LIMIT_BYTES", "group of rows is too large"), ("ROW_LIMIT", "impossible number of rows")],
)
def test_parquet_files_that_unpack_to_much(limit: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their limits are gigabytes; a file that says as much in little is read the same way."""
    pyarrow = pytest.importorskip("pyarrow", reason="the package pyarrow is missing")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the package pyarrow is missing")
    parquet.write_table(pyarrow.table({"x": [1.0, 2.0, 3.0]}), "d.parquet")
    monkeypatch.setattr(f"openane.analysis.parquet.{limit}", 2)
    with pytest.raises(FormatError, match=message):
        Dataset(Path("d.parquet"), {"x": TensorType((1,))})[0]


def test_nested_text() -> None:
    for name, text in (
        ("m.mil", "program(1.0) " + "{" * 200_000),
        ("m.mil", "program(1.0)[buildInfo = " + "dict<" * 100_000),
        ("net.plist", "<plist>" + "<array>" * 100_000),
        ("m.asm", ".openane " + "(" * 200_000),
    ):
        Path(name).write_text(text)
        with pytest.raises(OpenaneError):
            openane.load(name)


ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY f SYSTEM "file:///etc/passwd">]>
<plist version="1.0"><dict><key>Networks</key><string>%s</string></dict></plist>"""


@pytest.mark.parametrize("entity", ["&b;", "&f;"])
def test_xml_entities(entity: str) -> None:
    Path("net.plist").write_text(ENTITIES % entity)
    with pytest.raises(FormatError, match="property list"):
        openane.load("net.plist")


def test_memory_limit() -> None:
    image = {"image": np.zeros((1, 1, 28, 28), np.float32)}
    with pytest.raises(OpenaneError, match="memory"):
        openane.run(DIGITS, image, options=SessionOptions(memory_limit_bytes=1000))


def test_memory_limit_on_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", str(DIGITS), "--memory-limit", "1K", "--no-cache"])
    assert stop.value.code == 2
    assert "1024 bytes" in capfd.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["run", str(DIGITS), "--memory-limit", "much"])
    assert stop.value.code == 2


def test_work_has_a_limit_by_default() -> None:
    from openane.sim.machine import ExecutionOptions
    from openane.targets.target import RunOptions

    assert RunOptions().memory_limit_bytes <= 8 << 30
    assert SessionOptions().memory_limit_bytes <= 8 << 30
    assert SessionOptions().timeout_seconds <= 60
    assert ExecutionOptions.__dataclass_fields__["operation_limit"].default <= 10**13


# The cache ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    build_cached(DIGITS, Options(), cache)
    return cache


def entry(cache: Cache) -> Path:
    (path,) = cache.folder.glob(f"*{SUFFIX}")
    return path


def test_the_cache_is_private(cache: Cache) -> None:
    assert cache.folder.stat().st_mode & 0o077 == 0


def test_an_entry_under_another_key(cache: Cache) -> None:
    other = cache.folder / f"{'0' * 64}{SUFFIX}"
    other.write_bytes(entry(cache).read_bytes())
    assert cache.get("0" * 64) is None
    assert not other.exists()


@pytest.mark.parametrize("at", [0.2, 0.6, 0.99])
def test_a_changed_entry(cache: Cache, at: float) -> None:
    path = entry(cache)
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(data)
    key = key_of(DIGITS, Options())
    assert key is not None
    found = cache.get(key)
    assert found is None
    assert not path.exists()


def test_a_pickle_for_an_entry(cache: Cache) -> None:
    entry(cache).write_bytes(pickle.dumps(Bomb()))
    assert build_cached(DIGITS, Options(), cache).program.tasks


def test_an_entry_that_is_a_link_is_replaced_not_followed(cache: Cache, tmp_path: Path) -> None:
    path, victim = entry(cache), tmp_path / "victim"
    path.unlink()
    victim.write_bytes(b"mine")
    path.symlink_to(victim)
    build_cached(DIGITS, Options(), cache)
    assert victim.read_bytes() == b"mine"


# The browser --------------------------------------------------------------------------------------------------------

MARKUP = '</script><img src=x onerror="alert(1)"><script>alert(2)</script>&<!--\u2028'


def named_graph() -> Graph:
    nodes = (Node(MARKUP, ops.Relu(), (f"x{MARKUP}",), (f"y{MARKUP}",)),)
    return Graph(MARKUP, {f"x{MARKUP}": TensorType((1, 2, 4, 4))}, (f"y{MARKUP}",), nodes, {})


def test_notebook_html_escapes_names() -> None:
    artifact = openane.compile(named_graph())
    for html in (artifact._repr_html_(), artifact.program._repr_html_()):
        assert "<img" not in html
        assert "<script" not in html


def test_every_part_of_a_report_escapes_texts() -> None:
    from openane.core.html import facts, shares, table

    parts = (
        table(MARKUP, (MARKUP,), [(MARKUP,)]),
        facts(MARKUP, [(MARKUP, MARKUP)]),
        shares(MARKUP, [(MARKUP, 1.0, MARKUP)]),
    )
    for html in parts:
        assert "<img" not in html
        assert "<script" not in html
        assert '"alert' not in html


def test_page_escapes_names() -> None:
    from openane.viewer.page import embed

    assert not set("<>&\u2028") & set(embed({MARKUP: [MARKUP, {"name": MARKUP}]}))
    assert json.loads(embed({"name": MARKUP})) == {"name": MARKUP}


def test_terminal_markup_in_names_is_text(capfd: pytest.CaptureFixture[str]) -> None:
    from openane.cli._show import print_table

    print_table("[red]title", ("[bold]a",), [("[link=http://x]y[/link]",)])
    assert "[link=http://x]y[/link]" in capfd.readouterr().out

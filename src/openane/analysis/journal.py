"""What is evaluated, in pieces, and the journal of the finished ones, by which a stopped evaluation goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from openane.analysis.metrics import NO_ERROR
from openane.artifact.options import Options
from openane.core.closing import Closing
from openane.core.errors import FormatError, InputError
from openane.core.files import open_regular
from openane.core.version import __version__
from openane.runtimes.runtime import SessionOptions
from openane.targets.target import RunOptions


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """What every worker needs to know; plain values only, so that it can be sent anywhere.

    Attributes:
        model: path of the model.
        dataset: path of the data set.
        metric: one of METRICS.
        options: of the compilation, without constants.
        on: runtime by name.
        scale: divisor of pictures.
        layer_samples: of how many samples of each piece the layers are compared with the float32 reference.
        cache_folder: of compiled models; empty for none.
        threads: of the simulator; 0 is one per core.
        memory_limit_bytes: of the buffers of a program.
        time_limit_seconds: of one simulated run; None for no limit.
    """

    model: str
    dataset: str
    metric: str
    options: Options = field(default_factory=Options, hash=False)
    on: str = "simulator"
    scale: float = 255.0
    layer_samples: int = 0
    cache_folder: str = ""
    threads: int = 0
    memory_limit_bytes: int = 8 << 30
    time_limit_seconds: float | None = None

    @property
    def session_options(self) -> SessionOptions:
        """Of the runtime's sessions."""
        simulation = RunOptions(
            threads=self.threads,
            memory_limit_bytes=self.memory_limit_bytes,
            time_limit_seconds=self.time_limit_seconds,
        )
        return SessionOptions(memory_limit_bytes=self.memory_limit_bytes, simulation=simulation)


@dataclass(frozen=True, slots=True)
class Piece:
    """Sums over consecutive samples.

    Attributes:
        number: of the piece; samples are `number * PIECE_SAMPLES` and following.
        samples: how many.
        score: sum of the metric over them.
        seconds: time of the runs, compiling apart.
        errors: for each output with expected values, the sums of `metrics.NO_ERROR`.
        layers: the same for each layer that the run reports of, against the float32 reference, in execution order.
    """

    number: int
    samples: int
    score: float
    seconds: float
    errors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    layers: Mapping[str, Sequence[float]] = field(default_factory=dict)


_RESULT_FIELDS = ("metric", "on", "scale", "layer_samples")
"""Of a job: what its results depend on, apart from the content of model and data set."""


class Journal(Closing):
    """Finished pieces, one line of JSON each after a line that says what is evaluated. One process writes at a time.

    Args:
        path: of the file; None keeps the journal in memory.
        job: must be the one the file was begun with: settings, and content of the model and the data set.

    Raises:
        InputError: the file belongs to another evaluation or is in use, or it cannot be written.
        FormatError: it is not a journal; it is left alone.
    """

    def __init__(self, path: Path | None, job: EvaluationJob) -> None:
        self.path = path
        self.pieces: dict[int, Piece] = {}
        self._file: FileIO | None = None
        if path is None:
            return
        try:
            self._file = path.open("a+b", buffering=0)  # what a full disk refused must not be tried again
            self._begin(self._file, path, job)
        except OSError as error:
            self.close()
            _remove_empty(path)
            raise InputError(f"cannot write: {error.strerror or error}", where=str(path)) from error
        except BaseException:
            self.close()
            raise

    def _begin(self, file: FileIO, path: Path, job: EvaluationJob) -> None:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InputError("the journal is not a regular file", where=str(path))
        _lock(file, path)
        head = _head(job)
        first = json.dumps(head).encode() + b"\n"
        file.seek(0)
        raw = file.readall()
        whole = raw[: raw.rfind(b"\n") + 1]
        if not whole and first.startswith(raw):  # new, or stopped while the first line was being written
            os.ftruncate(file.fileno(), 0)
            self._append(first)
            return
        self._read(path, whole, head)
        if len(whole) != len(raw):  # the last line was being written when the run was stopped
            os.ftruncate(file.fileno(), len(whole))

    def _read(self, path: Path, whole: bytes, head: dict[str, object]) -> None:
        try:
            lines = [json.loads(line) for line in whole.decode().splitlines()]
            first = lines[0]
            if first.keys() != head.keys():
                raise ValueError("another first line")
            pieces = [_piece(line) for line in lines[1:]]
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            raise FormatError("not a journal of an evaluation", where=str(path)) from error
        different = [key for key in head if first[key] != head[key]]
        if different:
            raise InputError(
                "the journal belongs to another evaluation",
                where=str(path),
                value=f"another {', '.join(different)}",
                hint="Give another --journal.",
            )
        for piece in pieces:
            self.pieces.setdefault(piece.number, piece)

    def add(self, piece: Piece) -> None:
        """Keeps a finished piece; a second one of the same number changes nothing.

        Raises:
            InputError: the file cannot be written; what is in it stays.
        """
        if piece.number not in self.pieces:
            try:
                self._append(json.dumps(asdict(piece)).encode() + b"\n")
            except OSError as error:
                raise InputError(f"cannot write: {error.strerror or error}", where=str(self.path)) from error
            self.pieces[piece.number] = piece

    def _append(self, line: bytes) -> None:
        """A line on disk, whole; what a full disk took of it is removed again."""
        if self._file is None:
            return
        end = os.fstat(self._file.fileno()).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), end)
            raise

    def close(self) -> None:
        """Lets others write to the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_file() and not path.stat().st_size:
            path.unlink()


def _piece(line: Any) -> Piece:
    """The piece that a line says.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it says something else.
    """
    errors, layers = ({str(name): _sums(row) for name, row in line[key].items()} for key in ("errors", "layers"))
    return Piece(
        int(line["number"]), int(line["samples"]), float(line["score"]), float(line["seconds"]), errors, layers
    )


def _sums(row: Any) -> tuple[float, ...]:
    sums = tuple(map(float, row))
    if len(sums) != len(NO_ERROR) or any(value < 0 for value in sums) or sums[-1] > sums[-2]:
        raise ValueError("no sums of errors")
    return sums


def _lock(file: FileIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # pragma: no cover  (Windows has no such locks)
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            "another evaluation writes this journal", where=str(path), hint="Wait for it, or give another --journal."
        ) from error


def _head(job: EvaluationJob) -> dict[str, object]:
    """What the results of a job depend on."""
    chosen = {"options": job.options.identity()} | {name: getattr(job, name) for name in _RESULT_FIELDS}
    return {"openane": __version__, **chosen, "model": content(Path(job.model)), "data set": state(Path(job.dataset))}


def content(path: Path) -> str:
    """SHA-256 of the names and bytes of a file or of everything in a folder.

    Raises:
        InputError: something cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name, file in _files(path):
            with open_regular(file) as opened:
                found = hashlib.file_digest(opened, "sha256").hexdigest()
                digest.update(os.fsencode(name) + f"\0{found}\0".encode())
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    return digest.hexdigest()


def state(path: Path) -> str:
    """SHA-256 of the names, sizes and times of change of a file or of everything in a folder, which may be large.

    Raises:
        InputError: something cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for name, file in _files(path):
            facts = file.stat()
            digest.update(os.fsencode(name) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        yield path.name, path
        return
    for file in sorted(path.rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix(), file

"""Compiled models kept by the content they were made from.

A key is the SHA-256 of everything a result depends on: the model's bytes, the options, and openane's own code. Sidecar
files with weights are known once the model has been read: the entry has their digests, and is valid as long as they
match. An entry is one file (`artifact_format`); one that does not verify is removed and compiled again. Entries are
written to a temporary file and renamed, so that processes may share a folder; the least recently used ones go when it
grows over its limit.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from openane.artifact.artifact_format import decode, encode
from openane.artifact.plan import Artifact
from openane.core.errors import InputError, OpenaneError
from openane.core.files import PART_SUFFIX, write_atomically
from openane.formats.sniff import FileKind, sniff

LIMIT_BYTES = 2 << 30
ABANDONED_SECONDS = 3600.0
"""Age at which a file that is still being written is taken for one whose writer was killed."""
CHUNK_BYTES = 1 << 20
LARGEST_NOTE_BYTES = 1 << 10
SUFFIX = ".openane-cache"
FILES = frozenset({FileKind.ONNX, FileKind.MLMODEL, FileKind.PT2, FileKind.KERAS, FileKind.HDF5})
WITH_SIDECAR_FILES = frozenset({FileKind.PLIST, FileKind.MIL})
FOLDERS = frozenset({FileKind.MLPACKAGE, FileKind.MLMODELC, FileKind.SAVED_MODEL})
EXTERNAL_DATA = b"\x0a\x08location"
"""How an ONNX file names a file of weights outside itself (the protobuf bytes of the key)."""


def default_folder() -> Path:
    """Where compiled models are kept for this user, by the habit of the system."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "openane"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openane"


@cache
def code_digest() -> str:
    """SHA-256 of openane's own sources: another version never finds this one's entries."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def key_of_source(source: Path, choices: str) -> str | None:
    """The key of a model file or package; None for compiled programs.

    Models with sidecar files have other keys in other folders: the same text may be in many, each with its weights.

    Args:
        source: the model.
        choices: everything else that the compiled model depends on, as text.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is nothing that openane knows.
    """
    kind = sniff(source)
    if kind not in FILES | WITH_SIDECAR_FILES | FOLDERS:
        return None
    digest = hashlib.sha256(f"{code_digest()}\0{choices}\0{source.name}\0".encode(errors="surrogateescape"))
    sidecars = kind in WITH_SIDECAR_FILES
    try:
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file():
                digest.update(os.fsencode(path.relative_to(source)) + f"\0{path.stat().st_size}\0".encode())
                sidecars |= _hash_file(path, digest) and kind is FileKind.ONNX
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(source)) from error
    if sidecars:
        digest.update(os.fsencode(_folder_of(source)))
    return digest.hexdigest()


def has_sidecar_files(source: Path) -> bool:
    """Whether a model names files outside of itself, whose bytes are not part of its key.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is nothing that openane knows.
    """
    kind = sniff(source)
    if kind is not FileKind.ONNX:
        return kind in WITH_SIDECAR_FILES
    try:
        return _hash_file(source, hashlib.sha256())
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(source)) from error


def _folder_of(source: Path) -> Path:
    """Where the sidecar files of a model are looked up, symbolic links followed."""
    return Path(os.path.realpath(source.parent))


def _sidecar_digest(folder: Path, name: str) -> str | None:
    """SHA-256 of a sidecar file, empty when there is none; None when it is outside of the folder, or a pipe."""
    try:
        path = Path(os.path.realpath(folder / name))
        if not path.is_relative_to(folder):
            return None
        if not path.exists():
            return ""
        digest = hashlib.sha256()
        with _open_regular(path) as file:
            while piece := file.read(CHUNK_BYTES):
                digest.update(piece)
    except (OSError, ValueError):  # a name that no file can have
        return None
    return digest.hexdigest()


def _unchanged(folder: Path, sidecars: Mapping[str, str]) -> bool:
    return all(_sidecar_digest(folder, name) == digest for name, digest in sidecars.items())


def sidecar_digests(source: Path, files: Iterable[Path], begun_ns: int) -> dict[str, str] | None:
    """Digests of the sidecar files of a model, by names in its folder.

    None when one of them may have changed since the compilation began: its digest need not be that of what was read.
    """
    folder, found = _folder_of(source), {}
    for path in files:
        if source.is_dir() and path.is_relative_to(source.resolve()):
            continue  # part of the key
        digest = _sidecar_digest(folder, str(path))
        with contextlib.suppress(OSError):
            if path.stat().st_mtime_ns >= begun_ns:
                return None
        if digest is None or not path.is_relative_to(folder):
            return None
        found[path.relative_to(folder).as_posix()] = digest
    return found


def _hash_file(path: Path, digest: Any) -> bool:
    """Adds a file to a digest; returns whether it names weights in other files."""
    external, tail = False, b""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            external = external or EXTERNAL_DATA in tail + piece
            tail = piece[-len(EXTERNAL_DATA) :]
    return external


@dataclass(frozen=True, slots=True)
class Cache:
    """A folder of compiled models.

    Attributes:
        folder: made when the first entry is written.
        limit_bytes: the folder is kept below this.
    """

    folder: Path
    limit_bytes: int = LIMIT_BYTES

    def get(self, key: str, source: Path | None = None) -> Artifact | None:
        """The artifact of a key; None when there is none, or when the entry does not verify.

        Args:
            key: by `key_of_source`.
            source: the model; without it an entry with sidecar files does not verify.
        """
        path = self.folder / f"{key}{SUFFIX}"
        try:
            data = _read_regular(path, self.limit_bytes)
        except OSError:
            return None
        try:
            folder = None if source is None else _folder_of(source)
            artifact = decode(data, key, lambda sidecars: folder is not None and _unchanged(folder, sidecars))
        except (OpenaneError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            _remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # recently used
        return artifact

    def put(self, key: str, artifact: Artifact, sidecars: Mapping[str, str] | None = None) -> bool:
        """Keeps an artifact; returns whether it was kept. A folder that cannot be written to is not an error.

        Args:
            key: by `key_of_source`.
            artifact: to keep.
            sidecars: by their names in its folder -> SHA-256, empty for one that is missing.
        """
        data = encode(artifact, key, sidecars)
        return len(data) <= self.limit_bytes // 2 and self._write(key, data)

    def note(self, key: str) -> bytes | None:
        """A note by its key, which is not that of an artifact; None when there is none."""
        try:
            return _read_regular(self.folder / f"{key}{SUFFIX}", LARGEST_NOTE_BYTES)
        except OSError:
            return None

    def put_note(self, key: str, note: bytes) -> None:
        """Keeps a note of at most LARGEST_NOTE_BYTES."""
        self._write(key, note)

    def _write(self, key: str, data: bytes) -> bool:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self.folder / f"{key}{SUFFIX}", data)
        except (InputError, OSError):
            return False
        self._shrink()
        return True

    def _shrink(self) -> None:
        """Removes what killed writers left, and the least recently used entries while the folder is over its limit."""
        for path in self.folder.glob(f".*{PART_SUFFIX}"):
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > ABANDONED_SECONDS:
                    _remove(path)
        entries = sorted(self._entries(), reverse=True)
        total = 0
        for _, size, path in entries:
            total += size
            if total > self.limit_bytes:
                _remove(path)

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in self.folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):
                facts = path.lstat()
                yield facts.st_mtime, facts.st_size, path


def _read_regular(path: Path, limit_bytes: int) -> bytes:
    """The bytes of an entry. A shared folder may hold anything: links are not followed, pipes not waited for.

    Raises:
        OSError: no such file, or nothing that this cache has written.
    """
    with _open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > limit_bytes:
            raise OSError(errno.EINVAL, "not an entry of the cache")
        return file.read(size_bytes)


def _open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading.

    Raises:
        OSError: there is none, or it is a link, a pipe or the like.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)

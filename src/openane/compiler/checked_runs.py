"""Runs whose outputs were compared with the model in single precision: the same run is not compared again.

What was found depends on the model, the options, the inputs and the outputs alone. Only models whose bytes are all in
their key are noted, and only runs whose outputs were right; the cache has one note a model, of its last such run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from openane.artifact.cache import Cache, has_sidecar_files
from openane.compiler.cached_build import key_of
from openane.compiler.driver import Options


class CheckedRuns:
    """The note of a model with options; without a cache there is none.

    Args:
        source: the model.
        options: that it is compiled with.
        cache: for the note.

    Raises:
        As `key_of`.
    """

    def __init__(self, source: Path, options: Options, cache: Cache | None) -> None:
        self._cache = cache
        key = None if cache is None or has_sidecar_files(source) else key_of(source, options)
        self._key = None if key is None else hashlib.sha256(f"run\0{key}".encode()).hexdigest()

    def know(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> bool:
        """Whether these outputs were found to be right for these inputs."""
        if self._cache is None or self._key is None:
            return False
        return self._cache.note(self._key) == _digest(inputs, outputs)

    def add(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Notes that these outputs are right for these inputs."""
        if self._cache is not None and self._key is not None:
            self._cache.put_note(self._key, _digest(inputs, outputs))


def _digest(*sides: Mapping[str, np.ndarray]) -> bytes:
    """SHA-256 of names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256()
    for side in sides:
        digest.update(f"{len(side)}\0".encode())
        for name, array in sorted(side.items()):
            digest.update(f"{name!r} {array.dtype.str} {array.shape}\0".encode(errors="surrogateescape"))
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()

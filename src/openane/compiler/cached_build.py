"""Compiling with the cache: an unchanged model with the same options is compiled once."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from openane.artifact.cache import Cache, key_of_source, sidecar_digests
from openane.artifact.plan import Artifact
from openane.compiler.driver import Options, build
from openane.core.sidecar_files import collect_sidecar_files


def key_of(source: Path, options: Options) -> str | None:
    """The key of a model with options; None for compiled programs and where arrays are given.

    Raises:
        As `key_of_source`.
    """
    if options.constants or options.calibration:
        return None
    return key_of_source(source, json.dumps(options.identity(), sort_keys=True))


def build_cached(source: Path, options: Options, cache: Cache) -> Artifact:
    """Compiles a file, or takes what an unchanged one was compiled to before.

    An artifact out of the cache has the programs and host steps; the model's graph and nets are not stored.

    Raises:
        As `driver.build`.
    """
    key = key_of(source, options)
    if key is None:
        return build(source, options)
    kept = cache.get(key, source)
    if kept is None:
        begun_ns = time.time_ns()
        with collect_sidecar_files() as files:
            kept = build(source, options)
        sidecars = sidecar_digests(source, files, begun_ns)
        if sidecars is not None and key_of(source, options) == key:  # the model did not change meanwhile
            cache.put(key, kept, sidecars)
    return replace(kept, options=options)

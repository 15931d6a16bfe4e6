"""Chip generations: one folder each. Everything that depends on the generation is after this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openane.core.lazy import lazy_names
from openane.targets.registry import DEFAULT_CHIP, DEFAULT_TARGET, GENERATIONS, Generation, generation, generation_of

if TYPE_CHECKING:
    from openane.targets.loading import attach, encode_text, load_program
    from openane.targets.target import Target

__all__ = [
    "DEFAULT_CHIP",
    "DEFAULT_TARGET",
    "GENERATIONS",
    "Generation",
    "attach",
    "encode_text",
    "generation",
    "generation_of",
    "get",
    "load_program",
]

__getattr__ = lazy_names(__name__, dict.fromkeys(("attach", "encode_text", "load_program"), "loading"))


def get(name: str) -> Target:
    """The target of that name, to compile for and to simulate.

    Raises:
        InputError: there is no generation of that name.
        UnsupportedError: openane only reads programs of this generation.
    """
    return generation(name).target

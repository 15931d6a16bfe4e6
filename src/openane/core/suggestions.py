"""Hints for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known names, empty when nothing is near."""
    folded = {candidate.lower(): candidate for candidate in known}
    near = [folded[match] for match in get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)]
    return f"Did you mean {' or '.join(near)}?" if near else ""

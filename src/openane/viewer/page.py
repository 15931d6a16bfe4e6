"""From plain values to one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

SCRIPTS = (
    "dom.js",
    "data.js",
    "state.js",
    "list.js",
    "canvas.js",
    "overview.js",
    "graph.js",
    "tasks.js",
    "timeline.js",
    "memory.js",
    "registers.js",
    "pictures.js",
    "errors.js",
    "diff.js",
    "inspector.js",
    "search.js",
    "main.js",
)
"""The scripts in the order in which they are loaded; a later one may use what an earlier one defines."""

_BREAKING = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page(document: Mapping[str, Any]) -> str:
    """The page of a document.

    Args:
        document: from `openane.viewer.document`.

    Returns:
        HTML; the same for the same document.
    """
    style = _static("style.css")
    scripts = [_static(name) for name in SCRIPTS]
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {' '.join(map(_hash, scripts))}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "@POLICY@": escape(policy),
        "@TITLE@": escape(str(document["title"])),
        "@STYLE@": f"<style>{style}</style>",
        "@DATA@": embed(document),
        "@SCRIPTS@": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    text = _static("page.html")
    pieces = []
    for marker, value in parts.items():  # one after the other, so that no value is searched for markers
        before, text = text.split(marker)
        pieces += [before, value]
    return "".join([*pieces, text])


def embed(value: Any) -> str:
    """JSON that cannot end the script element around it, whatever names it holds."""
    text = json.dumps(_finite(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character, escaped in _BREAKING.items():
        text = text.replace(character, escaped)
    return text


def _finite(value: Any) -> Any:
    """Numbers that JSON does not have, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _static(name: str) -> str:
    return resources.files("openane.viewer").joinpath("static", name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"

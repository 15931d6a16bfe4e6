"""The schemas of what `--json` prints, and their versions.

Within a version, keys are only added: a reader that ignores keys it does not know keeps working. A key that is renamed,
removed or gets another meaning gives the schema the next version, which the changelog names. `docs/reference/json.md`
lists the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

VERSIONS: Mapping[str, int] = MappingProxyType(
    {
        "bundle": 1,
        "compare": 1,
        "compare-pair": 1,
        "compile": 1,
        "convert": 1,
        "diff": 1,
        "dis": 1,
        "docs": 1,
        "doctor": 1,
        "error": 1,
        "estimate": 1,
        "eval": 1,
        "explain": 1,
        "grab": 1,
        "info": 1,
        "limits": 1,
        "passes": 1,
        "run": 1,
        "verify-device": 1,
        "verify-device-cases": 1,
    }
)

"""The chips of H15: none was measured."""

from __future__ import annotations

from openane.targets.chip import like
from openane.targets.h14.chips import M2_PRO

CHIPS = (like(M2_PRO, "m3", "M3", 2064, "a guess: m2pro's constants at the M3's clock; no rows of its own"),)

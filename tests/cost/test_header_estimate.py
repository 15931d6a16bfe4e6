"""Header word 1 of Apple's tasks: the time estimate is reproduced."""

import json
import os
from pathlib import Path

import pytest

from openane.targets.h13.estimate import time_estimate_us

SHARED = Path(os.environ.get("OPENANE_SHARED", Path(__file__).parents[3] / "shared"))
ORACLES = SHARED / "oracles" / "h13"


def test_every_task_on_record() -> None:
    records = sorted(ORACLES.glob("*.json"))
    if not records:
        pytest.skip("needs the oracles of the shared folder")
    differing = []
    for path in records:
        for number, task in enumerate(json.loads(path.read_text())["tasks"]):
            header = [int(word, 16) for word in task["header"]]
            registers = {int(address, 16): int(word, 16) for address, word in task["regs"].items()}
            ours, apples = time_estimate_us(registers, header[8]), header[1] & 0xFFFF
            if ours != apples:
                differing.append((path.stem, number, apples, ours))
    assert differing == []

"""Words of Apple's compiler: what was equal once stays equal (the ratchet file only improves)."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@cache
def bench(name: str) -> ModuleType:
    """A module of the bench folder."""
    return importlib.import_module(name)


def reached() -> dict[str, object]:
    """The ratchet file."""
    found: dict[str, object] = json.loads((ROOT / "tests" / "targets" / "h13" / "parity_ratchet.json").read_text())
    return found


FAMILIES = (
    "binary_",
    "unary_",
    "conv_k",
    "conv_probe_k1",
    "conv_probe_k3",
    "encoder_",
    "env_",
    "logical_",
    "rrmm_",
    "matmul_",
    "reduce_",
    "norm_layer",
    "layer",
    "norm_softmax",
    "softmax",
    "tile_",
    "chain_",
    "pair ",
)


def test_the_families_cover_every_case_of_the_ratchet() -> None:
    found = reached()
    exact, differing = found["exact"], found["differing_words"]
    assert isinstance(exact, list) and isinstance(differing, dict)
    for case in (*exact, *differing):
        assert any(case.startswith(family) for family in FAMILIES), case


@pytest.mark.parametrize("family", FAMILIES)
def test_no_word_is_lost(family: str, shared: Path) -> None:
    parity = bench("parity")
    results = list(parity.compare_all(family))
    if not results:
        pytest.skip(f"needs the records {family}* of the shared folder")
    assert parity.regressions(results, reached()) == []


def test_the_targets_are_reached() -> None:
    found = reached()
    exact, differing = found["exact"], found["differing_words"]
    assert isinstance(exact, list) and isinstance(differing, dict)
    assert len(exact) / (len(exact) + len(differing)) >= 0.85


def test_a_case_that_is_worse_is_reported() -> None:
    parity = bench("parity")
    worse = parity.Comparison("binary_add", "elementwise", words=10, equal=9)
    better = parity.Comparison("conv", "convolution", words=10, equal=8, faults=["a fault"])
    lost = parity.regressions([worse, better], {"exact": ["binary_add"], "differing_words": {"conv": 2}})
    assert len(lost) == 1 and lost[0].startswith("binary_add: was exact")
    lost = parity.regressions([better], {"exact": [], "differing_words": {"conv": 1}})
    assert lost == ["conv: 2 words differ, 1 before"]


def test_differing_fields_are_named() -> None:
    parity = bench("parity")
    assert list(parity.differing_fields(0x1C, 0x5000A021, 0x5000A421)) == [("Common.ConvCfg.OCGSize", 0, 1)]
    assert list(parity.differing_fields("h9", 0x21, 0x23)) == [("Header.KernelBases.KBase0", 1, 3)]
    assert list(parity.differing_fields(0x1F848, None, 0x40)) == [("KernelDMASrc.CoeffBaseAddr[0] missing", 0, 0x40)]


def test_weight_files_of_records_are_read_as_the_records_say(tmp_path: Path) -> None:
    from openane.frontends.mil.blob import BLOB_TYPES, BlobStore

    records = bench("apple_records")
    fp16 = BLOB_TYPES["fp16"]
    weights = {
        "value": "fp16 bits 0x3400 + index, one value per constant",
        "shapes": [[4, 4], [1, 4]],
        "record_offsets": [64, 88],
    }
    (tmp_path / "weights.bin").write_bytes(records.weight_file(weights))
    store = BlobStore(tmp_path)
    assert set(store.read("weights.bin", 64, fp16, 16).view("u2").tolist()) == {0x3400}
    assert set(store.read("weights.bin", 88, fp16, 4).view("u2").tolist()) == {0x3401}
    (tmp_path / "weights.bin").write_bytes(records.weight_file({"value": "fp16(0x1p-1)", "payload_bytes": 512}))
    found = store.read("weights.bin", 64, fp16, 256).view("u2")
    assert found[0] == 1 and set(found[64:].tolist()) == {0x3800}

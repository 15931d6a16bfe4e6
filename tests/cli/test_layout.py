"""Tables in the width of a terminal."""

from __future__ import annotations

from openane.cli._layout import fit, shortened


def test_long_names_keep_their_beginning_and_end() -> None:
    assert shortened("encoder/layer_0/attention/query", 15) == "encoder…n/query"
    assert len(shortened("x" * 100, 12)) == 12
    assert shortened("short", 12) == "short"


def test_columns_without_content_go() -> None:
    titles, rows = fit(("layer", "where", "why"), [["a", "-", ""], ["b", "", "late"]], (), 80)
    assert titles == ["layer", "why"]
    assert rows == [["a", ""], ["b", "late"]]
    assert fit(("layer", "where"), [], (), 80)[0] == ["layer", "where"], "a table without rows keeps its head"


def test_rows_fit_into_eighty_columns() -> None:
    name, sentence = "model/encoder/block/" * 5, "a sentence that goes over several lines " * 4
    titles, rows = fit(("layer", "error", "why"), [[name, "1.5e-04", sentence]], ("error",), 80)
    assert rows[0][1] == "1.5e-04"
    assert rows[0][2] == sentence, "sentences are wrapped, not cut"
    assert len(rows[0][0]) + 2 + len(rows[0][1]) + 2 + 24 + 2 <= 80
    assert len(titles) == 3

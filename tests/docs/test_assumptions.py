"""The page of assumptions is made of the rules, and each assumption has an experiment that shows it."""

from __future__ import annotations

import importlib

import pytest

from openane.runtimes.verification import Standing, all_cases
from openane.runtimes.verification.check import compile_case
from openane.targets.h13.evidence import evidence_of
from openane.targets.h13.evidence.assumptions import ASSUMPTIONS, Assumption

CASES = {case.name: case for case in all_cases()}
REFUSED = {"A15", "A16"}
"""The simulator refuses such values, so that there is nothing to compare a device with."""


def test_the_page_is_what_the_rules_give() -> None:
    page = importlib.import_module("assumptions_page")
    assert page.PAGE.read_text() == page.text(), "run tools/assumptions_page.py"


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda each: each.name)
def test_every_assumption_names_its_case(assumption: Assumption) -> None:
    assert assumption.cases
    assert set(assumption.cases) <= CASES.keys()


def test_every_assumption_that_a_task_can_show_is_shown_by_a_case() -> None:
    shown = {
        finding.assumption
        for assumption in ASSUMPTIONS
        for name in assumption.cases
        for task in compile_case(CASES[name], "h13").tasks
        for finding in evidence_of(task).findings
        if finding.assumption == assumption.name
    }
    declared = {each.name for each in ASSUMPTIONS if each.fields_of.__name__ != "_no_fields"}
    assert shown == declared - REFUSED


def test_what_the_compiler_does_not_write_runs_last() -> None:
    edited = {case.name for case in CASES.values() if case.edit}
    assert len(edited) >= 9
    assert all(CASES[name].standing is Standing.ASSUMED for name in edited)

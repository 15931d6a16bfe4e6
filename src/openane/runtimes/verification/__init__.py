"""A self-test for people with hardware: small programs whose outputs answer what nobody could measure here."""

from openane.runtimes.verification.case import DeviceCase, Standing
from openane.runtimes.verification.check import CaseResult, CheckOutcome, check_case, predict
from openane.runtimes.verification.kit import all_cases, select_cases, write_kit
from openane.runtimes.verification.report import result_document

__all__ = [
    "CaseResult",
    "CheckOutcome",
    "DeviceCase",
    "Standing",
    "all_cases",
    "check_case",
    "predict",
    "result_document",
    "select_cases",
    "write_kit",
]

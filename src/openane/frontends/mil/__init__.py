"""MIL text, Core ML's intermediate language: `.mil` files and compiled `.mlmodelc` folders."""

from openane.frontends.mil.load import load, loads, sniff

__all__ = ["load", "loads", "sniff"]

"""Passes over the net of units, before it becomes tasks."""

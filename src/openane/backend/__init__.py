"""The generation-neutral back end: from a net of units to planned tasks, in terms of views, axes, NE and PE work."""

"""H11: its programs can be read, not compiled or run."""

"""H13, the Neural Engine of A14 and M1."""

"""The unit families: one file per family, with its rules and its lowering to task plans."""

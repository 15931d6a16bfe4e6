"""The unit families of the H13 back end: one file a family, with its rules and its way down to task plans."""

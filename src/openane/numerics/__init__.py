"""Half-precision arithmetic, exactly defined: rounding, ordered sums, lookup tables."""

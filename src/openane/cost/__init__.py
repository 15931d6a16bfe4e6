"""Time and energy of work on a chip: constants with their evidence, the model, the timings that judge it."""

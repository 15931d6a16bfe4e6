"""From a model to a plan: the driver, the pipeline of passes, and lowering to units."""

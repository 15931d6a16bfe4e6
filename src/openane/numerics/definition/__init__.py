"""The arithmetic of the engine, one value at a time: the definition that every fast path is tested against.

`fp16` says how a stored value is read and written, `accumulator` how the MAC array adds products, `epilogue` what
happens to a sum, `lookup` how a table is read and `planar` how the planar engine computes. Nothing here is fast.
`openane.sim.reference` is the machine that executes tasks with it. Where measurements leave a question open, the
choice is a named option of `openane.numerics.profile`.
"""

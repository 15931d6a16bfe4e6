"""Functions of one element: lookup tables, and compositions of steps."""

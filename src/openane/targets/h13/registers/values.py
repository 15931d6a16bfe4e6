"""Names of field values."""

FORMATS = {0: "uint8", 1: "int8", 2: "fp16"}
TASK_TYPES = {
    0: "ne",
    1: "pe_pool",  # assumed, no program shows it
    2: "pe_unary",
    3: "pe_binary",
    4: "pe_binary_rows",
    5: "pe_reduction",
    6: "pe_variance",
}
SOURCE_TYPES = {0: "resident", 1: "dram_kept", 2: "dram", 3: "chain"}
RESULT_TYPES = {0: "resident", 1: "dram_swapped", 2: "dram", 3: "chain"}
PE_OPERATIONS = {0: "add", 1: "mul", 2: "max", 3: "min", 4: "sumsq"}
PE_POOL_MODES = {0: "sum", 1: "average", 2: "max", 3: "min"}
PE_CONDITIONS = {0: "none", 1: "abs", 2: "eq", 3: "gt", 4: "ge", 5: "le", 6: "lt", 7: "ne"}
PE_NONLINEAR = {0: "none", 1: "reciprocal", 2: "rsqrt"}
PE_SECOND_SOURCE = {0: "none", 2: "source2", 3: "minus_source2"}
#: 5 is assumed, no program shows it.
NE_OPERATIONS = {0: "conv", 2: "multiply", 3: "maximum", 4: "bypass", 5: "transposed_conv"}
NE_NONLINEAR = {0: "none", 1: "relu", 2: "table"}
AXES = {mask: "".join(axis for bit, axis in enumerate("WHDC") if mask >> bit & 1) or "none" for mask in range(16)}

CACHE_HINTS = {0: "none", 2: "default", 3: "write", 4: "last_read", 12: "no_reuse", 14: "keep", 15: "keep_write"}

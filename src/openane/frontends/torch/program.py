"""What of an exported program may reach PyTorch, as a whitelist schema.

PyTorch's reader evaluates the text of symbolic sizes (sympy) and of guards, follows dotted names by getattr (targets,
`source_fn_stack`), imports modules that a tree specification names, unpickles custom objects, and writes the names of
nodes, inputs and constants into Python source that it executes (torch.fx). So names are identifiers, sizes are
integers, texts come from a closed alphabet, targets are operators that `operators.py` admits, and everything that only
describes where the program came from is dropped.
"""

from __future__ import annotations

import json
import keyword
import re
from typing import Any

from openane.core.errors import UnsupportedError
from openane.frontends.schema import array, boolean, fixed, integer, mapping, number, optional, record, text, union
from openane.frontends.torch.operators import check_target

SIZES_HINT = "Export it with fixed sizes: torch.export.export(module, example_inputs) without dynamic_shapes."


def _special(name: str) -> bool:
    """Whether a part of a name is one that Python gives a meaning."""
    return any(keyword.iskeyword(part) or (part[:2] == "__" == part[-2:]) for part in name.split("."))


NAME = text(r"[A-Za-z_][A-Za-z0-9_]{0,499}", "a plain name", _special)
QUALIFIED_NAME = text(r"[A-Za-z0-9_-]{1,200}(\.[A-Za-z0-9_-]{1,200}){0,99}", "a dotted name", _special)
WORD = text(
    r"[A-Za-z0-9_+-]{0,30}|(?:[A-Za-z ,]|\.\.\.){1,200}(?:->(?:[A-Za-z ]|\.\.\.){0,100})?", "a plain word", _special
)
"""The text arguments of operators: modes, reductions, einsum equations."""


def size(value: Any, where: str) -> Any:
    """A schema: a size, an integer or an expression that is one.

    Raises:
        UnsupportedError: it is a symbol or another expression.
    """
    if isinstance(value, dict) and list(value) == ["as_expr"]:
        expression = value["as_expr"].get("expr_str") if isinstance(value["as_expr"], dict) else None
        if isinstance(expression, str) and re.fullmatch(r"-?[0-9]{1,18}", expression, re.ASCII):
            return {"as_int": int(expression)}
        plain = isinstance(expression, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", expression, re.ASCII)
        what = "the program has open (symbolic) sizes" if plain else "a size is an expression, which is never evaluated"
        raise UnsupportedError(what, where=where, value=repr(expression), hint=SIZES_HINT)
    return union({"as_int": integer()})(value, where)


def _refused(what: str, hint: str) -> Any:
    def check(value: Any, where: str) -> Any:
        raise UnsupportedError(what, where=where, value=repr(value), hint=hint)

    return check


_OBJECT = _refused("the program holds a custom object, which openane never loads", "Export a module of plain tensors.")
_DEVICE = record({"type": text("cpu", "the device 'cpu'")}, {"index": optional(integer(0, 0))})
_DTYPE = integer(1, 64)
TENSOR_META = record(
    {
        "dtype": _DTYPE,
        "sizes": array(size, 64),
        "requires_grad": boolean,
        "device": _DEVICE,
        "strides": array(size, 64),
        "storage_offset": size,
        "layout": integer(7, 7),
    }
)

_TENSOR = record({"name": NAME})
_SYM_INT = union({"as_name": NAME, "as_int": integer()})
_SYM_FLOAT = union({"as_name": NAME, "as_float": number})
_SYM_BOOL = union({"as_name": NAME, "as_bool": boolean})
_MAYBE_TENSOR = union({"as_tensor": _TENSOR, "as_none": boolean})


def _subgraph(value: Any, where: str) -> Any:
    return record({"name": NAME, "graph": GRAPH})(value, where)


ARGUMENT = union(
    {
        "as_none": boolean,
        "as_tensor": _TENSOR,
        "as_tensors": array(_TENSOR),
        "as_optional_tensor": _MAYBE_TENSOR,
        "as_optional_tensors": array(_MAYBE_TENSOR),
        "as_nested_tensors": array(array(_TENSOR)),
        "as_int": integer(),
        "as_ints": array(integer()),
        "as_int_lists": array(array(integer())),
        "as_float": number,
        "as_floats": array(number),
        "as_float_lists": array(array(number)),
        "as_bool": boolean,
        "as_bools": array(boolean),
        "as_complex": record({"real": number, "imag": number}),
        "as_string": WORD,
        "as_sym_int": _SYM_INT,
        "as_sym_ints": array(_SYM_INT),
        "as_sym_float": _SYM_FLOAT,
        "as_sym_floats": array(_SYM_FLOAT),
        "as_sym_bool": _SYM_BOOL,
        "as_sym_bools": array(_SYM_BOOL),
        "as_scalar_type": _DTYPE,
        "as_memory_format": integer(1, 4),
        "as_layout": integer(7, 7),
        "as_device": _DEVICE,
        "as_graph": _subgraph,
        "as_custom_obj": _OBJECT,
        "as_operator": _refused("an operator takes another operator", "Export a module of plain operators."),
    }
)

_NAMED_ARGUMENT = record(
    {"name": text(r"|[A-Za-z_][A-Za-z0-9_]{0,99}", "a name", _special), "arg": ARGUMENT},
    {"kind": optional(integer(0, 2))},
)


def _argument(value: Any, where: str) -> Any:
    """A schema: an argument; the message of an assertion, which may be any text, is emptied."""
    if isinstance(value, dict) and value.get("name") == "assert_msg":
        value = {**value, "arg": {"as_string": ""}}
    return _NAMED_ARGUMENT(value, where)


_NODE = record(
    {
        "target": check_target,
        "inputs": array(_argument),
        "outputs": array(ARGUMENT),
        "metadata": fixed({}),
    },
    {"is_hop_single_tensor_return": optional(boolean), "name": optional(NAME)},
)

GRAPH = record(
    {
        "inputs": array(ARGUMENT),
        "outputs": array(ARGUMENT),
        "nodes": array(_NODE),
        "tensor_values": mapping(NAME, TENSOR_META),
        "sym_int_values": mapping(NAME, size),
        "sym_bool_values": mapping(NAME, union({"as_bool": boolean})),
    },
    {
        "is_single_tensor_return": boolean,
        "custom_obj_values": mapping(NAME, _OBJECT),
        "sym_float_values": mapping(NAME, union({"as_float": number})),
    },
)

_INPUT = union(
    {
        "user_input": record({"arg": union({"as_tensor": _TENSOR})}),
        "parameter": record({"arg": _TENSOR, "parameter_name": QUALIFIED_NAME}),
        "buffer": record({"arg": _TENSOR, "buffer_name": QUALIFIED_NAME, "persistent": boolean}),
        "tensor_constant": record({"arg": _TENSOR, "tensor_constant_name": QUALIFIED_NAME}),
        "constant_input": record(
            {
                "name": NAME,
                "value": union(
                    {"as_none": boolean, "as_int": integer(), "as_float": number, "as_string": WORD, "as_bool": boolean}
                ),
            }
        ),
        "custom_obj": _OBJECT,
    }
)
_OUTPUT = union(
    {
        "user_output": record({"arg": ARGUMENT}),
        "loss_output": record({"arg": _TENSOR}),
        "buffer_mutation": record({"arg": _TENSOR, "buffer_name": QUALIFIED_NAME}),
        "parameter_mutation": record({"arg": _TENSOR, "parameter_name": QUALIFIED_NAME}),
        "user_input_mutation": record({"arg": _TENSOR, "user_input_name": NAME}),
    }
)

_PROGRAM = record(
    {
        "graph_module": record(
            {
                "graph": GRAPH,
                "signature": record({"input_specs": array(_INPUT), "output_specs": array(_OUTPUT)}),
                "module_call_graph": fixed([]),
            }
        ),
        "schema_version": record({"major": integer(0, 1 << 16), "minor": integer(0, 1 << 16)}),
    },
    {"verifiers": array(text("|ATEN|TRAINING", "a known dialect"), 8)},
)


def validated_program(decoded: Any, where: str) -> dict[str, Any]:
    """A program that is made of checked parts only.

    The trees of arguments and results are replaced by flat ones: PyTorch imports what a tree of the file names.

    Args:
        decoded: the JSON of `schema.ExportedProgram`, decoded.
        where: for messages.

    Raises:
        FormatError: a part is missing or is none of those that are declared.
        UnsupportedError: symbolic sizes, custom objects, or an operator that is not admitted.
    """
    program: dict[str, Any] = _PROGRAM(decoded, where)
    module = program["graph_module"]
    signature = module["signature"]
    outputs = [spec for spec in signature["output_specs"] if {"user_output", "loss_output"} & set(spec)]
    module["module_call_graph"] = [{"fqn": "", "signature": _flat_call(_arguments(signature), len(outputs))}]
    return {
        **program,
        "opset_version": {},
        "range_constraints": {},
        "guards_code": [],
        "torch_version": "",
    }


def _arguments(signature: dict[str, Any]) -> list[str]:
    """The names of the inputs that a caller gives, in order."""
    names = []
    for spec in signature["input_specs"]:
        if "user_input" in spec:
            names.append(spec["user_input"]["arg"]["as_tensor"]["name"])
        elif "constant_input" in spec:
            names.append(spec["constant_input"]["name"])
    return names


def _flat_call(arguments: list[str], outputs: int) -> dict[str, Any]:
    """The calling convention of a function of named arguments that returns a tuple."""
    leaf: dict[str, Any] = {"type": None, "context": None, "children_spec": []}

    def group(*children: dict[str, Any]) -> dict[str, Any]:
        return {"type": "builtins.tuple", "context": "null", "children_spec": list(children)}

    keywords = {"type": "builtins.dict", "context": "[]", "children_spec": []}
    return {
        "inputs": [],
        "outputs": [],
        "in_spec": _tree(group(group(*[leaf] * len(arguments)), keywords)),
        "out_spec": _tree(group(*[leaf] * outputs)),
        "forward_arg_names": arguments,
    }


def _tree(specification: dict[str, Any]) -> str:
    return json.dumps([1, specification])

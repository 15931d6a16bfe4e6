"""What of a Keras configuration may reach Keras.

Keras imports modules, calls functions and rebuilds objects that a configuration names; its safe mode has been bypassed
several times (CVE-2025-1550, -8747, -9906, CVE-2026-1462). Here an object is admitted when it is one that computes: a
layer from a package of such layers, an operation on tensors, an initializer, a regularizer, a constraint or an element
type. A layer that holds code (Lambda), loads other files (TFSMLayer, StringLookup) or wraps another framework is not.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from openane.core.errors import FormatError, UnsupportedError
from openane.frontends.schema import boolean, integer, number, text

LAYER_PACKAGES = frozenset(
    {
        *("activations", "attention", "convolutional", "core", "merging", "normalization", "pooling"),
        *("regularization", "reshaping", "rnn"),
    }
)
"""Packages below keras.src.layers whose layers compute and do nothing else, but for CODE_LAYERS."""
PREPARATION = "preprocessing"
IMAGE_PREPARATION = f"{PREPARATION}.image_preprocessing."
"""Layers that cut, resize and augment pictures: numbers and modes are all that their configurations hold."""
NUMBER_PREPARATION = frozenset(
    {"CategoryEncoding", "Discretization", "MelSpectrogram", "Normalization", "Rescaling", "STFTSpectrogram"}
)
"""Of the other layers that prepare data: those that compute; the rest read vocabularies or hold functions."""
CODE_LAYERS = frozenset({"Lambda", "Layer"})
MODELS = frozenset({"Functional", "Model", "Sequential"})
OPERATION_MODULES = frozenset(f"keras.src.ops.{name}" for name in ("core", "image", "linalg", "math", "nn", "numpy"))
FUNCTION_OPERATIONS = frozenset(
    {"AssociativeScan", "Cond", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "WhileLoop"}
)
"""Operations whose arguments are functions."""
APPLICATION_MODULE = "keras.src.applications.convnext"
APPLICATION_LAYERS = frozenset({"LayerScale", "StochasticDepth"})
"""Layers that a network of keras.applications defines for itself."""
VALUES = frozenset({"__keras_tensor__", "__numpy__", "__tensor__", "__ellipsis__", "__slice__"})
"""What Keras calls values that are not objects."""
HELPERS = ("constraints", "dtype_policies", "initializers", "regularizers")
MODULES = frozenset(
    {
        *("keras", "keras.layers", "keras.models", "keras.activations", "builtins"),
        *(f"keras.{name}" for name in HELPERS),
        *("keras.src.models.functional", "keras.src.models.sequential", "keras.src.models.model"),
        *OPERATION_MODULES,
        APPLICATION_MODULE,
    }
)
WORD = text(r"[\w./,>+ -]{0,500}", "a plain word", lambda word: "__" in word or "../" in word or word.startswith("/"))
"""Names of layers and types, modes and einsum equations; no path above or outside the current folder."""
DROPPED = frozenset({"compile_config", "shared_object_id"})


def validated_configuration(decoded: Any, where: str) -> dict[str, Any]:
    """A configuration made of admitted objects, plain words and numbers.

    Args:
        decoded: the JSON of a model, decoded.
        where: for messages.

    Raises:
        FormatError: a part is none of these.
        UnsupportedError: it asks for an object that is not admitted.
    """
    if not isinstance(decoded, dict) or decoded.get("class_name") not in MODELS:
        found = decoded.get("class_name") if isinstance(decoded, dict) else type(decoded).__name__
        raise UnsupportedError(
            "the configuration is not that of a model of layers", where=where, value=repr(found), limit=sorted(MODELS)
        )
    checked: dict[str, Any] = _value(decoded, where)
    return checked


def _value(value: Any, where: str) -> Any:
    """A schema: any JSON value in which every object is admitted."""
    if value is None:
        return None
    if isinstance(value, dict):
        if "class_name" in value:
            return _object(value, where)
        return {WORD(key, f"{where}: key"): _value(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, f"{where}[{index}]") for index, each in enumerate(value)]
    for kind, schema in ((bool, boolean), (int, integer()), (float, number), (str, WORD)):
        if type(value) is kind:
            return schema(value, where)
    raise FormatError("an unknown kind of value", where=where, value=type(value).__name__)


def _object(value: dict[str, Any], where: str) -> dict[str, Any]:
    name, module = value["class_name"], value.get("module")
    registered = value.get("registered_name")
    plain = isinstance(name, str) and (module is None or module in MODULES)
    if not plain or not (_is_function(value) if name == "function" else registered in (None, "", name)):
        raise _refused(value, where)
    if name not in ("function", *VALUES, *MODELS) and not _computes(module, name):
        raise _refused(value, where)
    fields = {key: each for key, each in value.items() if key not in DROPPED}
    checked = {key: each for key, each in fields.items() if key in ("class_name", "module", "registered_name")}
    for key, each in fields.items():
        if key not in checked:
            checked[WORD(key, f"{where}: key")] = _value(each, f"{where}.{key}")
    return checked


def _is_function(value: dict[str, Any]) -> bool:
    """Whether it names an activation; Keras knows other functions by the same form."""
    import keras

    name = value.get("config")
    found = vars(keras.activations).get(name) if isinstance(name, str) else None
    return inspect.isfunction(found) and value.get("registered_name") in (None, "function", name)


def _computes(module: str | None, name: str) -> bool:
    """Whether a module has a class of this name that computes."""
    if module in OPERATION_MODULES:
        return _is_operation(module, name)
    if module == APPLICATION_MODULE:
        return name in APPLICATION_LAYERS
    return name in admitted_names()


def _is_operation(module: str, name: str) -> bool:
    """Whether a class is an operation on tensors, as those of a functional model are."""
    import keras

    for part in module.split(".")[1:]:
        keras = getattr(keras, part)
    found = vars(keras).get(name)
    if name in FUNCTION_OPERATIONS or not inspect.isclass(found):
        return False
    return issubclass(found, _operation()) and found.__module__ == module


def _operation() -> type:
    from keras.src.ops.operation import Operation

    kind: type = Operation
    return kind


@functools.cache
def admitted_names() -> frozenset[str]:
    """The names of the layers, initializers and so on that a configuration may ask for."""
    import keras

    names = set()
    for name, found in vars(keras.layers).items():
        if inspect.isclass(found) and issubclass(found, keras.Layer) and _is_computing_layer(found):
            names |= {name, found.__name__}  # .h5 files tell the class, which may have another public name
    for module in HELPERS:
        names |= {name for name, found in vars(getattr(keras, module)).items() if inspect.isclass(found)}
    return frozenset(names)


def _is_computing_layer(layer: type) -> bool:
    """Whether a layer computes and does nothing else, by its name and module."""
    place = layer.__module__.removeprefix("keras.src.layers.")
    package = place.split(".")[0]
    if package == PREPARATION:
        return layer.__name__ in NUMBER_PREPARATION or place.startswith(IMAGE_PREPARATION)
    return package in LAYER_PACKAGES and layer.__name__ not in CODE_LAYERS


def _refused(value: dict[str, Any], where: str) -> UnsupportedError:
    found = {key: value[key] for key in ("module", "class_name", "registered_name") if value.get(key) is not None}
    return UnsupportedError(
        "the model holds code or an object that openane does not load",
        where=where,
        value=repr(found),
        limit="layers of Keras that compute, and operations of keras.ops",
        hint="Write the layer with layers of Keras.",
    )

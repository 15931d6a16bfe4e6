"""Keras / TensorFlow -> ONNX -> Graph.

tf2onnx traces the model as a TensorFlow function of fixed shapes and translates it. Keras reads a file that openane
rebuilt from validated parts (`storage.py`), and that in safe mode; the operations of a SavedModel are checked before
TensorFlow loads it (`saved_model.py`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from openane.core.errors import FormatError, InputError, UnavailableError, UnsupportedError, valid
from openane.frontends.foreign import first_line, quiet
from openane.frontends.keras.saved_model import check_saved_model
from openane.frontends.keras.storage import rebuilt_file
from openane.frontends.onnx import load_model
from openane.graph import Graph

OPSET = 18
SIGNATURE = "serving_default"

Shapes = Mapping[str, tuple[int, ...]]


def load(path: str | Path, shapes: Shapes | None = None) -> Graph:
    """Reads a model.

    Args:
        path: a .keras or .h5 file, or the folder of a SavedModel.
        shapes: sizes for inputs that leave some open, by input name; an open first axis is taken as 1.

    Raises:
        FormatError: Keras or TensorFlow cannot read it.
        InputError: sizes are missing or do not fit.
        UnsupportedError: it holds code, or does not translate to ONNX.
        UnavailableError: keras, tensorflow or tf2onnx is not installed.
    """
    path = Path(path)
    keras, tensorflow = _import()
    if path.is_dir():
        check_saved_model(path)
        read = functools.partial(tensorflow.saved_model.load, str(path))
        return _load_saved(tensorflow, _read(read, path), shapes or {}, path)
    with rebuilt_file(path) as rebuilt:
        read = functools.partial(keras.saving.load_model, rebuilt, compile=False, safe_mode=True)
        model = _read(read, path)
    return load_keras(model, shapes, where=str(path), name=valid(path.stem))


def _read(read: Callable[[], Any], path: Path) -> Any:
    with quiet():
        try:
            return read()
        except Exception as error:  # both libraries raise many kinds for a damaged file
            raise FormatError(f"cannot be read: {first_line(error)}", where=str(path)) from error


def load_keras(model: Any, shapes: Shapes | None = None, *, where: str = "", name: str = "") -> Graph:
    """Imports a Keras model that is in memory.

    Args:
        model: a `keras.Model`.
        shapes: as in `load`.
        where: for messages.
        name: of the graph; the model's own by default.

    Raises:
        InputError, UnsupportedError, UnavailableError: as `load`.
    """
    _, tensorflow = _import()
    name = name or model.name
    where = where or name
    specs = []
    for tensor in model.inputs:
        shape = _fixed(tensor.name, tuple(tensor.shape), shapes or {}, where)
        specs.append(tensorflow.TensorSpec(shape, tensor.dtype, name=tensor.name))
    _refuse_unknown(shapes or {}, [tensor.name for tensor in model.inputs], where)
    names = _output_names(model)

    def call(*arrays: Any) -> dict[str, Any]:
        results = model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)
        return dict(zip(names, tensorflow.nest.flatten(results), strict=True))

    return _translate(tensorflow, call, specs, where, name)


def _output_names(model: Any) -> list[str]:
    """A name for every output: that of its layer, made unique."""
    names: list[str] = []
    for tensor in model.outputs:
        history = getattr(tensor, "_keras_history", None)
        base = history.operation.name if history is not None else tensor.name
        names.append(base if base not in names else f"{base}_{len(names)}")
    return names


def _load_saved(tensorflow: Any, model: Any, shapes: Shapes, path: Path) -> Graph:
    signatures = _read(lambda: dict(model.signatures), path)
    if SIGNATURE not in signatures:
        found = ", ".join(signatures) or "none"
        raise UnsupportedError(
            f"the SavedModel has no signature {SIGNATURE!r}", where=str(path), value=found, hint="Export it with one."
        )
    function = signatures[SIGNATURE]
    _, inputs = _read(lambda: function.structured_input_signature, path)
    _refuse_unknown(shapes, list(inputs), str(path))
    specs = [
        tensorflow.TensorSpec(_fixed(name, tuple(spec.shape), shapes, str(path)), spec.dtype, name=name)
        for name, spec in inputs.items()
    ]

    def call(*arrays: Any) -> dict[str, Any]:
        results: dict[str, Any] = function(**dict(zip(inputs, arrays, strict=True)))
        return results

    return _translate(tensorflow, call, specs, str(path), valid(path.name))


def _fixed(name: str, shape: tuple[int | None, ...], shapes: Shapes, where: str) -> tuple[int, ...]:
    """The shape to compile for: the user's, or the model's with an open batch taken as 1.

    Raises:
        InputError: sizes are open and not given, or given sizes contradict the model.
    """
    if name in shapes:
        given = tuple(shapes[name])
        fits = len(given) == len(shape) and all(own in (None, size) for own, size in zip(shape, given, strict=True))
        if not fits:
            raise InputError(f"the sizes given for {name!r} do not fit", where=where, value=given, limit=shape)
        return given
    if shape and shape[0] is None:
        shape = (1, *shape[1:])
    if None in shape:
        raise InputError(
            f"input {name!r} has open sizes", where=where, value=shape, hint=f"Give them: --shape {name}=1,224,224,3"
        )
    return tuple(size for size in shape if size is not None)


def _refuse_unknown(shapes: Shapes, names: list[str], where: str) -> None:
    for name in shapes:
        if name not in names:
            raise InputError(f"there is no input {name!r}", where=where, limit=", ".join(names))


def _translate(tensorflow: Any, call: Any, specs: list[Any], where: str, name: str) -> Graph:
    import tf2onnx

    try:
        with quiet():
            model, _ = tf2onnx.convert.from_function(tensorflow.function(call), input_signature=specs, opset=OPSET)
    except Exception as error:  # the translator raises many kinds
        raise UnsupportedError(f"tf2onnx cannot translate it: {first_line(error)}", where=where) from error
    return load_model(model, name=name)


def _import() -> tuple[Any, Any]:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow prints to the terminal while it is imported
    try:
        with quiet():
            import keras
            import tensorflow
            import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            f"reading Keras and TensorFlow models needs {error.name}", hint="pip install 'openane[keras]'"
        ) from error
    return keras, tensorflow

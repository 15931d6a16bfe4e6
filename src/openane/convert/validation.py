"""What others say of a written model: onnxruntime runs it, coremltools reads it (and runs it on a Mac)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openane.convert.coreml import coremltools
from openane.core.errors import ModelError, UnavailableError

Arrays = Mapping[str, np.ndarray]


def run_onnx(path: Path, inputs: Arrays) -> list[np.ndarray] | None:
    """The outputs of an ONNX model in order, as onnxruntime computes them; None where it is not installed.

    Raises:
        ModelError: onnxruntime does not load or run the file.
    """
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        fed = {each.name: inputs[each.name] for each in session.get_inputs()}
        return [np.asarray(array) for array in session.run(None, fed)]
    except Exception as error:  # onnxruntime raises many kinds
        raise _refused("onnxruntime", path, error) from error


def run_core_ml(path: Path, inputs: Arrays, outputs: Sequence[str]) -> list[np.ndarray] | None:
    """Lets coremltools read a Core ML model, and run it on a Mac; None where it does not run it.

    Args:
        path: of a .mlmodel or .mlpackage.
        inputs: by the names in the model.
        outputs: names in order.

    Raises:
        ModelError: coremltools does not read or run it.
    """
    try:
        tools = coremltools()
    except UnavailableError:
        return None
    try:
        with contextlib.redirect_stderr(None), contextlib.redirect_stdout(None):
            model = tools.models.MLModel(str(path), skip_model_load=sys.platform != "darwin")
            _read_again(tools, model)
            if sys.platform != "darwin":
                return None
            found: Mapping[str, Any] = model.predict(dict(inputs))
        return [np.asarray(found[name]) for name in outputs]
    except Exception as error:  # coremltools raises many kinds
        raise _refused("coremltools", path, error) from error


def _read_again(tools: Any, model: Any) -> None:
    """Reads an ML program into coremltools' own form, which checks the operations and the shapes of their results."""
    specification = model.get_spec()
    if specification.WhichOneof("Type") == "mlProgram":
        load, version = tools.converters.mil.frontend.milproto.load.load, specification.specificationVersion
        load(specification, version, model.weights_dir or "")


def _refused(who: str, path: Path, error: Exception) -> ModelError:
    text = " ".join(str(error).split())[:200]
    return ModelError(f"{who} does not take what was written, which was removed", where=str(path), value=text)

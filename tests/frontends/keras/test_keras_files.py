"""Keras files and SavedModels: only objects that compute are built, only operations that compute are run."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.json_positions import planted, positions

import openane
from openane.core.errors import FormatError, InputError, OpenaneError, UnsupportedError
from openane.frontends.keras.configuration import admitted_names, validated_configuration
from openane.frontends.keras.saved_model import check_saved_model
from openane.frontends.keras.storage import rebuilt_file

pytestmark = pytest.mark.filterwarnings("ignore")
keras = pytest.importorskip("keras", reason="the package keras is missing")
tensorflow = pytest.importorskip("tensorflow", reason="the package tensorflow is missing")
pytest.importorskip("tf2onnx", reason="the package tf2onnx is missing")
h5py = pytest.importorskip("h5py", reason="the package h5py is missing")

MARK = "exploded"
CODE = f"__import__('os').mkdir('{MARK}')"


@pytest.fixture(scope="module")
def network() -> Any:
    layers = keras.layers
    image = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", kernel_constraint="non_neg")(image)
    x = keras.ops.relu(x) * 2 + layers.BatchNormalization()(x)
    x = layers.Concatenate()([x[:, 1:], layers.Rescaling(0.5)(x[:, :-1])])
    x = layers.Flatten()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))


@pytest.fixture(scope="module")
def legacy() -> Any:
    """What an .h5 file can hold: layers only."""
    return keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Conv2D(4, 3), keras.layers.Flatten()])


@pytest.fixture(params=["m.keras", "m.h5"])
def form(request: pytest.FixtureRequest, network: Any, legacy: Any) -> tuple[Any, str]:
    """A model and the name of a file that can hold it."""
    return (legacy if request.param.endswith(".h5") else network), request.param


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not Path(MARK).exists()


@pytest.fixture
def configuration(network: Any) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(network.to_json())
    return decoded


def written(network: Any, configuration: Any, name: str) -> Path:
    """A file of the network with another configuration."""
    network.save(name)
    if name.endswith(".h5"):
        with h5py.File(name, "r+") as file:
            file.attrs["model_config"] = json.dumps(configuration)
        return Path(name)
    with zipfile.ZipFile(name) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(name, "w") as archive:
        for each, data in {**members, "config.json": json.dumps(configuration).encode()}.items():
            archive.writestr(each, data)
    return Path(name)


def test_the_rebuilt_file_is_the_model(form: tuple[Any, str]) -> None:
    network, name = form
    network.save(name)
    image = np.random.default_rng(0).standard_normal((1, 6, 6, 2)).astype(np.float32)
    with rebuilt_file(Path(name)) as rebuilt:
        found = keras.saving.load_model(rebuilt, compile=False)
    np.testing.assert_array_equal(found(image), network(image))


def test_layers_that_prepare_data() -> None:
    """Pictures are cut, resized and augmented by layers that compute; those that a run leaves out may be there too."""
    layers = keras.layers
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).random((4, 8, 8, 3)))
    augmentation = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomContrast(0.1)]
    stack = [normalization, layers.Rescaling(2.0), *augmentation, layers.Resizing(6, 6), layers.CenterCrop(4, 4)]
    network = keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.Conv2D(2, 3)])
    network.save("m.keras")
    image = np.random.default_rng(0).random((1, 8, 8, 3)).astype(np.float32)
    with rebuilt_file(Path("m.keras")) as rebuilt:
        found = keras.saving.load_model(rebuilt, compile=False)
    np.testing.assert_array_equal(found(image, training=False), network(image, training=False))


def test_a_layer_whose_class_has_another_name() -> None:
    """An .h5 file reports the name of the class: GroupedQueryAttention is keras.layers.GroupQueryAttention."""
    sequence = keras.Input((4, 8))
    keras.Model(sequence, keras.layers.GroupQueryAttention(4, 4, 2)(sequence, sequence)).save("m.h5")
    with rebuilt_file(Path("m.h5")) as rebuilt:
        assert keras.saving.load_model(rebuilt, compile=False).count_params()


LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
FUNCTION = {"module": "keras.config", "class_name": "function", "registered_name": "enable_unsafe_deserialization"}
OBJECTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lambda", {"module": "keras.layers", "class_name": "Lambda", "config": {"function": LAMBDA}}),
    ("bytecode", LAMBDA),
    ("legacy lambda", {"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None]}}),
    ("function", {**FUNCTION, "config": "enable_unsafe_deserialization"}),
    ("built-in function", {**FUNCTION, "module": "builtins", "config": "load_model", "registered_name": "function"}),
    ("function of an application", {"module": "keras.src.applications.convnext", "class_name": "ConvNeXtTiny"}),
    ("registered function", {**FUNCTION, "module": "keras.activations", "config": "relu", "registered_name": "a>relu"}),
    ("other module", {"module": "os", "class_name": "system", "config": {}}),
    ("module below keras", {"module": "keras.src.utils.python_utils", "class_name": "func_load", "config": {}}),
    ("saved model", {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "evil"}}),
    ("pickle", {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {"module": "x"}}),
    ("vocabulary", {"module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "etc"}}),
    ("registered", {"module": "keras.layers", "class_name": "Dense", "registered_name": "a>Evil", "config": {}}),
    ("typespec", {"class_name": "__typespec__", "spec_name": "x", "module": "os", "config": []}),
    ("bytes", {"class_name": "__bytes__", "config": {"value": "x"}}),
    ("utility", {"class_name": "deserialize", "config": {}}),
    ("operation with a function", {"module": "keras.src.ops.core", "class_name": "Map", "config": {}}),
    ("helper of operations", {"module": "keras.src.ops.numpy", "class_name": "KerasTensor", "config": {}}),
    ("class of a list", {"class_name": ["Dense"], "config": {}}),
)


@pytest.mark.parametrize("value", [value for _, value in OBJECTS], ids=[name for name, _ in OBJECTS])
def test_objects(form: tuple[Any, str], value: dict[str, Any]) -> None:
    """As a layer, and as an argument of one."""
    network, name = form
    as_layer, as_argument = json.loads(network.to_json()), json.loads(network.to_json())
    as_layer["config"]["layers"].append({**value, "name": "more", "inbound_nodes": []})
    as_argument["config"]["layers"][1]["config"]["activation"] = value
    for changed in (as_layer, as_argument):
        with (
            pytest.raises(UnsupportedError, match="holds code or an object"),
            rebuilt_file(written(network, changed, name)),
        ):
            pass


def test_loading_goes_through_the_checks(form: tuple[Any, str]) -> None:
    network, name = form
    configuration = json.loads(network.to_json())
    configuration["config"]["layers"].append({**OBJECTS[0][1], "name": "more", "inbound_nodes": []})
    with pytest.raises(UnsupportedError, match="holds code or an object"):
        openane.load(written(network, configuration, name))


def test_other_roots(network: Any) -> None:
    for root in ({"class_name": "Lambda", "config": {}}, [], "x", {"class_name": "function", "config": "load_model"}):
        with pytest.raises(UnsupportedError, match="not that of a model"):
            validated_configuration(root, "x")


def test_code_is_not_admitted() -> None:
    names = admitted_names()
    assert {"Dense", "LSTM", "MultiHeadAttention", "RandomFlip", "GlorotUniform", "DTypePolicy"} <= names
    assert not names & {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "TextVectorization"}
    assert not names & {"StringLookup", "IntegerLookup", "Hashing", "Layer", "Pipeline", "load_model", "FeatureSpace"}


PAYLOADS = (CODE, "../../x", "/etc/passwd", "file:///x", "__class__", "a;b", "x\ny", 'x"y', "été", "x" * 501)


def test_no_planted_text_survives(configuration: dict[str, Any]) -> None:
    tried = refused = 0
    for path in positions(configuration, str):
        for text in PAYLOADS:
            tried += 1
            try:
                found = validated_configuration(planted(configuration, path, text), "x")
            except (FormatError, UnsupportedError):
                refused += 1
                continue
            assert json.dumps(text) not in json.dumps(found), path
    assert tried > 3000
    assert refused > tried / 2


def test_only_what_is_needed_goes_on(network: Any, legacy: Any) -> None:
    network.save("m.keras")
    with zipfile.ZipFile("m.keras", "a") as archive:
        archive.writestr("assets/x.txt", "secret")
    with rebuilt_file(Path("m.keras")) as rebuilt, zipfile.ZipFile(rebuilt) as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        assert archive.read("metadata.json") == b"{}"
    legacy.save("m.h5")
    with h5py.File("m.h5", "r+") as file:
        file.attrs["training_config"] = CODE
        file["text"] = np.array([b"x"], dtype=object)
    with rebuilt_file(Path("m.h5")) as rebuilt, h5py.File(rebuilt) as file:
        assert set(file.attrs) <= {"model_config", "keras_version", "backend"}
        assert set(file) == {"model_weights"}


def test_two_configurations(network: Any) -> None:
    network.save("m.keras")
    with zipfile.ZipFile("m.keras", "a") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(FormatError, match=r"needs one config\.json"), rebuilt_file(Path("m.keras")):
        pass


# SavedModels --------------------------------------------------------------------------------------------------------


def saved(function: Callable[[Any], Any], path: str = "model") -> Path:
    module = tensorflow.Module()
    module.w = tensorflow.Variable(tensorflow.ones((4, 4)))
    specification = tensorflow.TensorSpec((1, 4), tensorflow.float32)
    traced = tensorflow.function(lambda x: function(tensorflow.matmul(x, module.w)))
    module.call = traced.get_concrete_function(specification)
    tensorflow.saved_model.save(module, path, signatures=module.call)
    return Path(path)


def test_a_saved_model_that_computes() -> None:
    assert openane.load(saved(tensorflow.nn.relu)).nodes


def writing(x: Any) -> Any:
    tensorflow.io.write_file(MARK, "x")
    return x


def reading(x: Any) -> Any:
    return x + tensorflow.strings.to_number(tensorflow.io.read_file("/etc/hostname"))


def python(x: Any) -> Any:
    return tensorflow.ensure_shape(tensorflow.py_function(lambda y: y, [x], tensorflow.float32), (1, 4))


def printing(x: Any) -> Any:
    tensorflow.print(x, output_stream=f"file://{MARK}")
    return x


def restoring(x: Any) -> Any:
    return x + tensorflow.raw_ops.RestoreV2(
        prefix="p", tensor_names=["x"], shape_and_slices=[""], dtypes=[tensorflow.float32]
    )


def nested(x: Any) -> Any:
    return tensorflow.cond(tensorflow.reduce_sum(x) > 0, lambda: writing(x), lambda: x)


@pytest.mark.parametrize("function", [writing, reading, python, printing, restoring, nested])
def test_operations_that_reach_out(function: Callable[[Any], Any]) -> None:
    with pytest.raises(UnsupportedError, match="does not let TensorFlow run"):
        openane.load(saved(function))


def test_files_of_a_saved_model(tmp_path: Path) -> None:
    path = saved(tensorflow.nn.relu)
    data = next(path.glob("variables/*.data*"))
    data.rename("moved")
    data.symlink_to(tmp_path / "moved")
    with pytest.raises(InputError, match="leads out of the model's folder"):
        check_saved_model(path)
    data.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(data)
        with pytest.raises(InputError, match="pipe or device"):
            check_saved_model(path)


def test_a_saved_model_with_augmentation() -> None:
    """The functions for training stay in the file, and draw random numbers."""
    layers = keras.layers
    stack = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomHue(0.1), layers.Flatten(), layers.Dense(2)]
    keras.Sequential([keras.Input((8, 8, 3)), *stack]).export("model", verbose=False)
    check_saved_model(Path("model"))


def test_objects_of_a_saved_model_that_are_assets() -> None:
    """In place of what they were: one error, or nothing that matters."""
    from tensorflow.core.protobuf import saved_model_pb2

    path = saved(tensorflow.nn.relu) / "saved_model.pb"
    data = path.read_bytes()
    for number in range(len(saved_model_pb2.SavedModel.FromString(data).meta_graphs[0].object_graph_def.nodes)):
        model = saved_model_pb2.SavedModel.FromString(data)
        model.meta_graphs[0].asset_file_def.add(filename="x").tensor_info.name = "x:0"
        model.meta_graphs[0].object_graph_def.nodes[number].asset.asset_file_def_index = 0
        path.write_bytes(model.SerializeToString())
        with contextlib.suppress(OpenaneError):
            openane.load(path.parent)


def test_damaged_saved_models() -> None:
    path = saved(tensorflow.nn.relu)
    (path / "saved_model.pb").write_bytes((path / "saved_model.pb").read_bytes()[:100])
    with pytest.raises(OpenaneError, match="SavedModel"):
        openane.load(path)

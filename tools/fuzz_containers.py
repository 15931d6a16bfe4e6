"""Hostile HDF5 files and SavedModels for `fuzz_frameworks.py`: sound ones with one thing of their structure changed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CANARY = "zq9canary"
TEXTS = (
    CANARY,
    f"../{CANARY}",
    f"/tmp/{CANARY}/x",
    f"file://{CANARY}",
    f"__import__('os').mkdir('{CANARY}')",
    "",
    "\0",
)
REACHING = (
    *("ReadFile", "WriteFile", "MatchingFiles", "PrintV2", "Print", "PyFunc", "EagerPyFunc", "PyFuncStateless"),
    *("SaveV2", "RestoreV2", "MergeV2Checkpoints", "LoadDataset", "SaveDataset", "TextLineDataset", "RpcCall"),
    *("DebugIdentityV2", "WriteSummary", "FixedLengthRecordReaderV2", "InitializeTableFromTextFileV2", "NoSuchThing"),
)
"""Operations of TensorFlow that read or write files, call Python or the network."""

Change = Callable[[Any, random.Random], None]


# HDF5 ---------------------------------------------------------------------------------------------------------------


def _groups(file: Any) -> list[Any]:
    import h5py

    found = [file]
    file.visititems(lambda _, member: found.append(member) if isinstance(member, h5py.Group) else None)
    return found


def _arrays(file: Any) -> list[Any]:
    import h5py

    found: list[Any] = []
    file.visititems(lambda _, member: found.append(member) if isinstance(member, h5py.Dataset) else None)
    return found


def _link_outside(file: Any, choose: random.Random) -> None:
    import h5py

    group = choose.choice(_groups(file))
    name = choose.choice([*group, CANARY])
    if name in group:
        del group[name]
    group[name] = h5py.ExternalLink(choose.choice(["/etc/passwd", "other.h5", *TEXTS[:4]]), choose.choice(["/", "/x"]))


def _link_inside(file: Any, choose: random.Random) -> None:
    import h5py

    group, other = choose.choice(_groups(file)), choose.choice(_groups(file))
    name = choose.choice([*group, CANARY])
    if name in group:
        del group[name]
    group[name] = choose.choice([h5py.SoftLink("/"), h5py.SoftLink(f"/{CANARY}"), other if other else file])


def _array_outside(file: Any, choose: random.Random) -> None:
    import h5py

    array = choose.choice(_arrays(file))
    parent, name, shape = array.parent, array.name.rsplit("/", 1)[1], array.shape
    del parent[name]
    if choose.random() < 0.5:
        parent.create_dataset(
            name, shape or (1,), "f4", external=[(choose.choice(["/etc/passwd", CANARY]), 0, 1 << 20)]
        )
    else:
        layout = h5py.VirtualLayout(shape or (1,), "f4")
        layout[...] = h5py.VirtualSource(choose.choice(["/etc/passwd", "other.h5", "."]), "x", shape or (1,))
        parent.create_virtual_dataset(name, layout)


def _other_array(file: Any, choose: random.Random) -> None:
    array = choose.choice(_arrays(file))
    parent, name, shape = array.parent, array.name.rsplit("/", 1)[1], array.shape
    del parent[name]
    odd = np.dtype([("a", "f4"), ("b", "S8")])
    huge = {"shape": (1 << choose.randrange(20, 50),), "dtype": "f4", "chunks": (1 << 16,)}
    others: list[dict[str, Any]] = [
        {"data": np.zeros(shape or (1,), odd)},
        {"data": np.full(shape, CANARY.encode(), "S20")},
        {"data": np.zeros((*shape, 2), "i8")},
        {"data": np.zeros(shape or (1,), "f8"), "compression": "gzip", "chunks": True, "shuffle": True},
        {"data": np.zeros(0, "f4")},
        huge,
    ]
    parent.create_dataset(name, **choose.choice(others))


def _attribute(file: Any, choose: random.Random) -> None:
    import h5py

    member = choose.choice([*_groups(file), *_arrays(file)])
    name = choose.choice([*member.attrs, "layer_names", "weight_names", "model_config", "training_config", CANARY])
    values = [*TEXTS[:5], np.array(TEXTS[:3], "S40"), 7, np.zeros(1000), h5py.Empty("f"), file.ref, np.nan]
    member.attrs[name] = choose.choice(values)


HDF5_CHANGES: tuple[Change, ...] = (_link_outside, _link_inside, _array_outside, _other_array, _attribute)


def hdf5_cases(files: list[Path], seed: int, target: Path) -> Iterator[str]:
    """Writes one hostile file after the other to a path; gives what was changed."""
    import h5py

    choose = random.Random(seed)
    while True:
        shutil.copy(choose.choice(files), target)
        changes = [choose.choice(HDF5_CHANGES) for _ in range(choose.choice((1, 1, 2)))]
        try:
            with h5py.File(target, "r+") as file:
                for change in changes:
                    change(file, choose)
        except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError):
            continue  # the library itself refuses to write it
        yield ", ".join(change.__name__ for change in changes)


# SavedModels --------------------------------------------------------------------------------------------------------


def _nodes(model: Any) -> list[Any]:
    (graph,) = model.meta_graphs
    return [
        *graph.graph_def.node,
        *(node for function in graph.graph_def.library.function for node in function.node_def),
    ]


def _operation(model: Any, choose: random.Random) -> None:
    choose.choice(_nodes(model)).op = choose.choice(REACHING)


def _writer(model: Any, choose: random.Random) -> None:
    """A file is written by a function, whether something asks for its result or not."""
    functions = model.meta_graphs[0].graph_def.library.function
    function = choose.choice(functions)
    for name in ("zq9name", "zq9data"):
        node = function.node_def.add(name=name, op="Const")
        node.attr["dtype"].type = 7
        node.attr["value"].tensor.dtype = 7
        node.attr["value"].tensor.tensor_shape.SetInParent()
        node.attr["value"].tensor.string_val.append(CANARY.encode())
    function.node_def.add(name="zq9", op="WriteFile", input=["zq9name:output:0", "zq9data:output:0"])
    function.signature.control_output.append("zq9")
    function.control_ret["zq9"] = "zq9"
    if function.node_def:
        choose.choice(function.node_def).input.append("^zq9")


def _text_of_a_node(model: Any, choose: random.Random) -> None:
    node, text = choose.choice(_nodes(model)), choose.choice(TEXTS)
    fields = [attribute for attribute in node.attr.values() if attribute.WhichOneof("value") in ("s", "func")]
    if fields and choose.random() < 0.7:
        attribute = choose.choice(fields)
        if attribute.WhichOneof("value") == "s":
            attribute.s = text.encode()
        else:
            attribute.func.name = choose.choice(REACHING)
    else:
        node.name = text


def _called_function(model: Any, choose: random.Random) -> None:
    functions = model.meta_graphs[0].graph_def.library.function
    one, other = choose.choice(functions), choose.choice(functions)
    one.signature.name, other.signature.name = other.signature.name, one.signature.name


def _asset(model: Any, choose: random.Random) -> None:
    graph = model.meta_graphs[0]
    graph.asset_file_def.add(filename=choose.choice(TEXTS)).tensor_info.name = "x:0"
    node = choose.choice(graph.object_graph_def.nodes)
    node.asset.asset_file_def_index = choose.choice((0, 1, -1, 1 << 30))


def _object(model: Any, choose: random.Random) -> None:
    graph = model.meta_graphs[0]
    node = choose.choice(graph.object_graph_def.nodes)
    kind = choose.randrange(6)
    if kind == 0:
        node.user_object.identifier = choose.choice(("signature_map", "_generic_user_object", CANARY, "trackable_list"))
    elif kind == 1:
        node.resource.device = choose.choice(TEXTS)
    elif kind == 2:
        node.function.concrete_functions.append(choose.choice(TEXTS[:3]))
    elif kind == 3:
        node.registered_name = choose.choice(("tf.TrackableConstant", f"keras>{CANARY}", CANARY))
    elif kind == 4:
        node.children.add(node_id=choose.randrange(-1, 200), local_name=choose.choice(TEXTS))
    else:
        graph.saver_def.filename_tensor_name = choose.choice(TEXTS)
        graph.saver_def.restore_op_name = choose.choice(TEXTS)


SAVED_CHANGES: tuple[Change, ...] = (_operation, _writer, _text_of_a_node, _called_function, _asset, _object)


def saved_cases(folders: list[Path], seed: int, target: Path) -> Iterator[str]:
    """Writes one hostile SavedModel after the other to a folder; gives what was changed."""
    from tensorflow.core.protobuf import saved_model_pb2

    choose = random.Random(seed)
    while True:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(choose.choice(folders), target)
        model = saved_model_pb2.SavedModel.FromString((target / "saved_model.pb").read_bytes())
        changes = [choose.choice(SAVED_CHANGES) for _ in range(choose.choice((1, 1, 2)))]
        try:
            for change in changes:
                change(model, choose)
            data = model.SerializeToString()
        except (ValueError, TypeError, IndexError):
            continue  # a protocol buffer cannot hold it
        (target / "saved_model.pb").write_bytes(data)
        yield ", ".join(change.__name__ for change in changes)

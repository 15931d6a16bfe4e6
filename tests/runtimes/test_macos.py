"""The macOS paths against a recorded fake: which calls, in which order, with which arguments, and what is freed."""

import ctypes
import plistlib
from pathlib import Path

import numpy as np
import pytest
from tests.support.macos_fake import FakeBridge
from tests.support.runtime_programs import binary_program

from openane.core.errors import FaultError, InputError, UnavailableError
from openane.program.layout import read_surface, write_surface
from openane.runtimes.macos import MacosRuntime
from openane.runtimes.macos.compiler import compile_network
from openane.runtimes.macos.e5rt import E5Program
from openane.runtimes.macos.espresso import dump_network
from openane.runtimes.macos.mil import open_mil
from openane.runtimes.macos.models import InMemoryModel
from openane.runtimes.macos.objc import SystemBridge

PROGRAM = binary_program("add", (3, 1, 40))
INPUTS = {s.name: np.full(s.shape, 1 + i, np.float16) for i, s in enumerate(PROGRAM.inputs)}
YES = 1
REQUEST = "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:"
BALANCED = {"pool": 0, "object": 0, "surface": 0, "lock": 0}


def engine(bridge, program):
    """Makes the fake's evaluation add the two inputs, through the surfaces of the request."""
    state = {}

    def request(inputs, input_numbers, outputs, output_numbers, *rest):
        state["inputs"], state["outputs"] = bridge.surfaces(inputs), bridge.surfaces(outputs)
        return bridge.object(("request", "_ANERequest"))

    def evaluate(*arguments):
        arrays = [read_surface(s, m) for s, m in zip(program.inputs, state["inputs"], strict=True)]
        write_surface(program.outputs[0], state["outputs"][0], arrays[0] + arrays[1])
        return YES

    bridge.answers |= {
        REQUEST: request,
        "evaluateWithModel:options:request:qos:error:": evaluate,
        "evaluateWithQoS:options:request:error:": evaluate,
    }


def client_bridge(**changes):
    bridge = FakeBridge()
    bridge.answers = {
        "sharedConnection": bridge.object(("client", "_ANEClient")),
        "modelAtURL:key:": bridge.object(("model", "_ANEModel")),
        "loadModel:options:qos:error:": YES,
        "unloadModel:options:qos:error:": YES,
    }
    engine(bridge, PROGRAM)
    bridge.answers |= changes
    return bridge


def test_a_program_runs_through_aned_in_the_published_order():
    bridge = client_bridge()
    with MacosRuntime(lambda: bridge, "Darwin", "arm64").open(PROGRAM) as session:
        np.testing.assert_array_equal(session.run(INPUTS)["out"], np.full((1, 1, 3, 1, 40), 3, np.float16))
        session.run(INPUTS)
    order = [name.rsplit(".", 1)[-1] for name in bridge.names() if name != "load"]
    assert order == [
        "sharedConnection",
        "modelAtURL:key:",
        "loadModel:options:qos:error:",
        "IOSurfaceCreate",
        "IOSurfaceCreate",
        "IOSurfaceCreate",
        REQUEST,
        "evaluateWithModel:options:request:qos:error:",
        "evaluateWithModel:options:request:qos:error:",
        "unloadModel:options:qos:error:",
    ]
    load = next(call for call in bridge.calls if call[0].endswith("loadModel:options:qos:error:"))
    assert load[2:] == ({"kANEFModelType": "kANEFModelPreCompiled"}, 21, "out")
    created = next(call[1] for call in bridge.calls if call[0] == "IOSurfaceCreate")
    assert created["IOSurfaceBytesPerRow"] == 128
    assert created["IOSurfacePixelFormat"] == 0x4C303068
    assert created["IOSurfaceAllocSize"] == 0x4000
    assert dict(bridge.live) == BALANCED


def test_the_folder_holds_the_image_while_it_is_loaded(tmp_path):
    seen = {}

    def at_url(url, key):
        folder = Path(bridge.value(url).removeprefix("file://"))
        seen["folder"], seen["magic"] = folder, (folder / "model.hwx").read_bytes()[:4]
        return bridge.object(("model", "_ANEModel"))

    bridge = client_bridge()
    bridge.answers["modelAtURL:key:"] = at_url
    MacosRuntime(lambda: bridge, "Darwin", "arm64").open(PROGRAM).close()
    assert seen["magic"] == (0xBEEFFACE).to_bytes(4, "little")
    assert not seen["folder"].exists()


@pytest.mark.parametrize(
    ("code", "text", "kind", "message"),
    [
        (0x1D, "Program failed", FaultError, r"running: Program failed \(found status 0x1d\).*same number of bytes"),
        (-536870201, "IOReturn", UnavailableError, r"status 0xe00002c7\).*entitlement"),
        (5, "load failed 0xe00002e2", UnavailableError, r"trust cache"),
    ],
)
def test_the_systems_words_reach_the_user(code, text, kind, message):
    bridge = client_bridge()
    bridge.answers["evaluateWithModel:options:request:qos:error:"] = bridge.fail(code, text)
    with MacosRuntime(lambda: bridge, "Darwin", "arm64").open(PROGRAM) as session, pytest.raises(kind, match=message):
        session.run(INPUTS)
    assert dict(bridge.live) == BALANCED


@pytest.mark.parametrize("failing", ["loadModel:options:qos:error:", "IOSurfaceLock", "modelAtURL:key:"])
def test_everything_is_freed_when_a_step_fails(failing):
    bridge = client_bridge()
    bridge.answers[failing] = bridge.fail(3, "no") if failing.startswith("load") else 0
    if failing == "IOSurfaceLock":
        bridge.answers[failing] = 1
    with pytest.raises(FaultError):  # noqa: SIM117
        with MacosRuntime(lambda: bridge, "Darwin", "arm64").open(PROGRAM) as session:
            session.run(INPUTS)
    live = dict(bridge.live)
    assert live.pop("lock", 0) in (0, 1)
    assert all(count == 0 for count in live.values()), live


def test_a_missing_message_or_class_is_unavailable_not_a_crash():
    for missing in ("_ANEClient", "modelAtURL:key:", "_ANERequest"):
        bridge = client_bridge()
        bridge.missing = {missing}
        with pytest.raises(UnavailableError, match=f"untested on hardware.*{missing}"):
            MacosRuntime(lambda bridge=bridge: bridge, "Darwin", "arm64").open(PROGRAM)
        assert all(count == 0 for count in bridge.live.values())


@pytest.mark.parametrize(
    ("system", "machine", "missing", "reason"),
    [
        ("Linux", "x86_64", (), "this is Linux, not macOS"),
        ("Darwin", "x86_64", (), "no neural engine"),
        ("Darwin", "arm64", ("AppleNeuralEngine",), "AppleNeuralEngine is not on this system"),
    ],
)
def test_a_machine_that_is_not_fit_says_why(system, machine, missing, reason):
    runtime = MacosRuntime(lambda: FakeBridge(missing=missing), system, machine)
    found = runtime.probe()
    assert not found.available
    assert reason in found.reason
    with pytest.raises(UnavailableError, match=reason):
        runtime.open(PROGRAM)


def test_a_fit_machine_is_marked_as_untested():
    found = MacosRuntime(FakeBridge, "Darwin", "arm64").probe()
    assert found.available
    assert "untested on hardware" in found.reason


def test_elsewhere_the_objective_c_runtime_is_missing_and_said_so():
    with pytest.raises(UnavailableError, match="no Objective-C runtime"):
        SystemBridge()


def in_memory_bridge(identifier="0123_abc"):
    bridge = FakeBridge()
    model = bridge.object(("model", "_ANEInMemoryModel"))
    descriptor = bridge.object(("descriptor", "_ANEInMemoryModelDescriptor"))
    bridge.answers = {
        "initWithNetworkText:weights:optionsPlist:isMILModel:": descriptor,
        "inMemoryModelWithDescriptor:": model,
        "hexStringIdentifier": bridge.object(identifier),
        "compileWithQoS:options:error:": YES,
        "loadWithQoS:options:error:": YES,
        "mapIOSurfacesWithRequest:cacheInference:error:": YES,
        "unloadWithQoS:error:": YES,
    }
    engine(bridge, PROGRAM)
    return bridge


def test_mil_text_is_saved_compiled_loaded_mapped_and_run(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bridge = in_memory_bridge()
    saved = {}

    def compile_(*arguments):
        folder = tmp_path / "0123_abc"
        saved.update({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        return YES

    bridge.answers["compileWithQoS:options:error:"] = compile_
    weights = {"@model_path/weights/weight.bin": b"\1\0\2"}
    # Declared in another order than the alphabet's, in which the system numbers them.
    shapes = {surface.name: surface.shape for surface in reversed(PROGRAM.inputs)}
    with open_mil(bridge, "program(1.3)", weights, shapes, {"out": PROGRAM.outputs[0].shape}) as session:
        np.testing.assert_array_equal(session.run(INPUTS)["out"], np.full((1, 1, 3, 1, 40), 3, np.float16))
    assert saved == {"model.mil": b"program(1.3)", "weights/weight.bin": b"\1\0\2"}
    assert not (tmp_path / "0123_abc").exists()
    messages = [name.rsplit(".", 1)[-1] for name in bridge.names()]
    expected = [
        "initWithNetworkText:weights:optionsPlist:isMILModel:",
        "inMemoryModelWithDescriptor:",
        "hexStringIdentifier",
        "loadWithQoS:options:error:",
        REQUEST,
        "mapIOSurfacesWithRequest:cacheInference:error:",
        "evaluateWithQoS:options:request:error:",
        "unmapIOSurfacesWithRequest:",
        "unloadWithQoS:error:",
    ]
    assert [name for name in messages if name in expected] == expected
    described = next(call for call in bridge.calls if "initWithNetworkText" in call[0])
    assert {call[1]["IOSurfaceAllocSize"] for call in bridge.calls if call[0] == "IOSurfaceCreate"} == {0xC000}
    assert described[1] == b"program(1.3)"
    assert described[2] == {"@model_path/weights/weight.bin": {"offset": 0, "data": b"\1\0\2"}}
    assert bridge.live["surface"] == bridge.live["pool"] == 0


def test_a_compiler_that_refuses_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    bridge = in_memory_bridge()
    bridge.answers["compileWithQoS:options:error:"] = bridge.fail(1, "InvalidMILProgram")
    with pytest.raises(FaultError, match="compiling MIL: InvalidMILProgram"):
        InMemoryModel(bridge, "nonsense", {})
    assert list(tmp_path.iterdir()) == []


def test_an_identifier_that_is_a_path_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FaultError, match="no usable identifier"):
        InMemoryModel(in_memory_bridge("../../etc"), "x", {})


def test_apples_compiler_gets_its_dictionaries(tmp_path):
    network = tmp_path / "net.plist"
    network.write_bytes(plistlib.dumps({}))
    bridge = FakeBridge()

    def compile_(options, flags, block):
        (tmp_path / "out/model.hwx").write_bytes(b"\xce\xfa\xef\xbe")
        bridge.blocks[0](0, 0)
        return 0

    bridge.answers["ANECCompile"] = compile_
    assert compile_network(bridge, network, tmp_path / "out", "h13", debug=True).name == "model.hwx"
    name, options, flags, block = bridge.calls[-1]
    assert name == "ANECCompile"
    assert options["InputNetworks"] == [{"NetworkPlistName": "net.plist", "NetworkPlistPath": f"{tmp_path}/"}]
    assert options["OutputFileName"] == "model.hwx"
    assert flags == {"TargetArchitecture": "h13", "CompileANEProgramForDebugging": True, "DebugMask": 0x7FFFFFFF}
    assert block == "block"


@pytest.mark.parametrize(("status", "reported"), [(22, "0x16"), (0, "0x0")])
def test_a_failed_compilation_names_its_status(tmp_path, status, reported):
    (tmp_path / "net.mil").write_text("")
    bridge = FakeBridge({"ANECCompile": status})
    with pytest.raises(FaultError, match=rf"ANECCompile of net\.mil.*status {reported}"):
        compile_network(bridge, tmp_path / "net.mil", tmp_path / "out", "h13")
    assert bridge.calls[-1][1]["InputNetworks"] == [
        {"NetworkSourceFileName": "net.mil", "NetworkSourceFilePath": f"{tmp_path}/"}
    ]
    with pytest.raises(InputError, match="no such network file"):
        compile_network(bridge, tmp_path / "none", tmp_path, "h13")


def e5_bridge():
    """Every call succeeds and gives a fresh object through its place: first for create and alloc, else last."""
    bridge = FakeBridge()

    def give(index, value=None):
        def answer(*arguments):
            place = ctypes.c_void_p.from_address(arguments[index].value)
            place.value = bridge.object("thing") if value is None else value(bridge.value(arguments[0]))
            return 0

        return answer

    prefix = "e5rt_"
    for name in (
        "e5_compiler_config_options_create",
        "e5_compiler_create_with_config",
        "e5_compiler_options_create",
        "precompiled_compute_op_create_options_create_with_program_function",
        "execution_stream_operation_create_precompiled_compute_operation_with_options",
        "execution_stream_create",
    ):
        bridge.answers[prefix + name] = give(0)
    for name in (
        "e5_compiler_compile",
        "program_library_retain_program_function",
        "execution_stream_operation_retain_input_port",
        "execution_stream_operation_retain_output_port",
    ):
        bridge.answers[prefix + name] = give(-1)

    def alloc(place, size, kind):
        memory = bridge.memory_of(size.value)
        ctypes.c_void_p.from_address(place.value).value = memory
        return 0

    def pointer(buffer, place):
        ctypes.c_void_p.from_address(place.value).value = buffer
        return 0

    bridge.answers["e5rt_buffer_object_alloc"] = alloc
    bridge.answers["e5rt_buffer_object_get_data_ptr"] = pointer
    return bridge


def test_e5rt_calls_come_in_the_published_order(tmp_path):
    bridge = e5_bridge()
    program = E5Program(bridge, tmp_path / "model.mil", tmp_path, {"x": 4}, {"y": 2}, architecture="h13")
    bridge.answers["e5rt_execution_stream_execute_sync"] = lambda stream: 0
    assert program.run({"x": b"abcd"}) == {"y": b"\0\0"}
    program.close()
    program.close()
    names = [name.removeprefix("e5rt_") for name in bridge.names() if name.startswith("e5rt") and "release" not in name]
    assert names == [
        "e5_compiler_config_options_create",
        "e5_compiler_config_options_set_bundle_cache_location",
        "e5_compiler_create_with_config",
        "e5_compiler_options_create",
        "e5_compiler_options_set_compute_device_types_mask",
        "e5_compiler_options_set_force_recompilation",
        "e5_compiler_options_set_segmenter",
        "e5_compiler_options_set_custom_ane_compiler_options",
        "e5_compiler_compile",
        "program_library_retain_program_function",
        "precompiled_compute_op_create_options_create_with_program_function",
        "execution_stream_operation_create_precompiled_compute_operation_with_options",
        "execution_stream_operation_retain_input_port",
        "buffer_object_alloc",
        "io_port_bind_buffer_object",
        "execution_stream_operation_retain_output_port",
        "buffer_object_alloc",
        "io_port_bind_buffer_object",
        "execution_stream_create",
        "buffer_object_get_data_ptr",
        "execution_stream_operation_prepare_op_for_encode",
        "execution_stream_encode_operation",
        "execution_stream_execute_sync",
        "buffer_object_get_data_ptr",
        "execution_stream_reset",
    ]
    released = [name for name in bridge.names() if "release" in name]
    assert len(released) == 3 + 1 + 1 + 1 + 1 + 4 + 1


@pytest.mark.parametrize("failing", ["e5rt_e5_compiler_compile", "e5rt_io_port_bind_buffer_object"])
def test_a_failing_e5rt_call_is_named_and_undone(tmp_path, failing):
    bridge = e5_bridge()
    bridge.answers[failing] = 7
    with pytest.raises(FaultError, match=f"{failing}.*status 0x7"):
        E5Program(bridge, tmp_path / "m.mil", tmp_path, {"x": 4}, {"y": 2})


def test_a_renamed_function_is_unavailable_and_wrong_sizes_are_refused(tmp_path):
    bridge = e5_bridge()
    program = E5Program(bridge, tmp_path / "m.mil", tmp_path, {"x": 4}, {"y": 2})
    with pytest.raises(InputError, match=r"input x.*3 bytes.*4 bytes"):
        program.run({"x": b"abc"})
    bridge.missing = {"e5rt_execution_stream_execute_sync"}
    with pytest.raises(UnavailableError, match="execute_sync"):
        program.run({"x": b"abcd"})


def test_espressos_dump_is_collected(tmp_path):
    model = tmp_path / "m.mlmodelc"
    model.mkdir()
    (model / "model.espresso.net").write_text("{}")
    dump = tmp_path / "dump"

    def dump_ir(plan, place):
        dump.mkdir()
        for name in ("net.plist", "net.additional.weights"):
            (dump / name).write_text(name)
        return 0

    bridge = FakeBridge({"espresso_create_context": 1, "espresso_create_plan": 2, "espresso_dump_ir": dump_ir})
    files = dump_network(bridge, model, tmp_path / "out", dump)
    assert [path.name for path in files] == ["net.additional.weights", "net.plist"]
    assert bridge.names() == [
        "load",
        "espresso_create_context",
        "espresso_create_plan",
        "espresso_plan_add_network",
        "espresso_plan_build",
        "espresso_dump_ir",
        "espresso_plan_destroy",
        "espresso_context_destroy",
    ]
    assert bridge.calls[1][1:] == (0x2718, 0xFFFFFFFF)
    assert bridge.calls[3][3] == 0x10010


def test_espresso_without_a_network_or_a_result_is_explained(tmp_path):
    with pytest.raises(InputError, match=r"no Espresso network.*ML programs"):
        dump_network(FakeBridge(), tmp_path, tmp_path)
    (tmp_path / "model.espresso.net").write_text("{}")
    bridge = FakeBridge({"espresso_create_context": 1, "espresso_create_plan": 2})
    with pytest.raises(FaultError, match=r"wrote no net\.plist"):
        dump_network(bridge, tmp_path, tmp_path / "out", tmp_path / "nothing")
    bridge.answers["espresso_plan_build"] = -3
    with pytest.raises(FaultError, match="espresso_plan_build"):
        dump_network(bridge, tmp_path, tmp_path / "out", tmp_path / "nothing")

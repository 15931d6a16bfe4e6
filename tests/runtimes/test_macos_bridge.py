"""The ctypes layer itself, against a stand-in for the Objective-C runtime written in C."""

import ctypes
import subprocess
import sys

import pytest
from tests.support.runtime_clients import CLIENTS, COMPILER

from openane.core.errors import UnavailableError
from openane.runtimes.macos.foundation import Attempt, to_text
from openane.runtimes.macos.objc import BOOL, SystemBridge, address, autorelease_pool

pytestmark = pytest.mark.skipif(sys.platform == "win32" or COMPILER is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objc")
    path = folder / "Stub.framework" / "Stub"
    path.parent.mkdir()
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", path, CLIENTS / "objc_stub.c"], check=True)
    return path


@pytest.fixture
def bridge(library):
    return SystemBridge(str(library), (str(library.parents[1]),))


@pytest.fixture
def test_class(bridge):
    return bridge.class_named("Test")


def test_objects_and_scalars_arrive_as_declared(bridge, test_class):
    assert bridge.send(test_class, "first:second:", 41, ctypes.c_uint32(7)) == 41007
    assert bridge.send(test_class, "negate:", BOOL(5), result=BOOL) == -5
    assert to_text(bridge, test_class) == "grüß"


def test_nil_answers_nil(bridge, test_class):
    assert bridge.send(0, "first:second:", 1, ctypes.c_uint32(1)) == 0
    assert bridge.send(test_class, "nothing") == 0


def test_objects_come_back_through_pointers(bridge, test_class):
    place = bridge.out()
    assert bridge.send(test_class, "give:", address(place)) == 0
    assert place.value == 0x1234


def test_a_no_without_an_error_object_is_still_explained(bridge):
    with pytest.raises(Exception, match="testing: macOS refused without a reason"):
        Attempt(bridge, "testing").check(0)


def test_blocks_call_back(bridge, test_class):
    seen = []
    block = bridge.block(lambda status, value: seen.append((status, value)), ctypes.c_int64, ctypes.c_void_p)
    bridge.send(test_class, "call:", block)
    assert seen == [(-5, 0x77)]


def test_functions_of_frameworks(bridge):
    bridge.load("Stub")
    bridge.load("Stub")
    assert bridge.call("twice", ctypes.c_double(1.25), ctypes.c_int32(4), result=ctypes.c_double) == 5.0


def test_pools_are_popped_also_after_errors(bridge):
    with pytest.raises(ValueError, match="inside"), autorelease_pool(bridge):
        assert bridge.call("open_pools", result=ctypes.c_int32) == 1
        raise ValueError("inside")
    assert bridge.call("open_pools", result=ctypes.c_int32) == 0


def test_memory_is_seen_and_written(bridge):
    data = ctypes.create_string_buffer(b"abcd")
    place = ctypes.addressof(data)
    bridge.memory(place, 4)[1:3] = b"XY"
    assert bridge.read(place, 5) == b"aXYd\0"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: b.load("Nowhere"), "framework Nowhere is not on this system"),
        (lambda b: b.call("no_such_function"), "function no_such_function is not on this system"),
        (lambda b: b.class_named("Missing"), "class Missing is not on this system"),
        (lambda b: b.send(b.class_named("Test"), "no:such:"), "does not know the message no:such:"),
    ],
)
def test_what_is_missing_is_named(bridge, call, message):
    with pytest.raises(UnavailableError, match=message):
        call(bridge)

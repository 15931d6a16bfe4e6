"""The emulated driver answers as the published one: what it accepts, what it refuses, with which number."""

import ctypes
import errno
import mmap

import pytest
from tests.support.runtime_engine import TinyEngine
from tests.support.runtime_programs import chained_program

from openane.core.errors import FormatError
from openane.runtimes.device_nodes import LINUX_NODE
from openane.runtimes.linux import abi
from openane.runtimes.linux.command import build_command
from openane.runtimes.linux.emulation import DriverLimits, EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.engine import SimulatedEngine

PAGE = 0x4000


def refused(number, call):
    with pytest.raises(OSError) as caught:
        call()
    assert errno.errorcode[caught.value.errno] == errno.errorcode[number]


def allocate(node, size=PAGE):
    request = abi.BufferInit(size=size)
    node.ioctl(abi.BO_INIT, request)
    return request


@pytest.fixture
def driver():
    return EmulatedDriver(SimulatedEngine())


@pytest.fixture
def node(driver):
    return driver.open()


class Loaded:
    """A chained program in buffers, filled in by hand."""

    def __init__(self, node):
        program = chained_program()
        command = build_command(program, 1 << 30)
        self.node, self.mappings, handles = node, {}, [0] * 32
        for index, size in (*command.buffer_bytes.items(), ("bootstrap", PAGE)):
            made = allocate(node, size)
            self.mappings[index] = node.map(made.offset, size)
            if index == "bootstrap":
                self.bootstrap = made.handle
            else:
                handles[index] = made.handle
        command.fill_command_buffer(self.mappings[0].memory)
        self.mappings["bootstrap"].memory[: len(command.bootstrap)] = command.bootstrap
        self.request = abi.Submit(
            tsk_size=command.stream_bytes,
            td_count=command.task_count,
            td_size=command.first_task_bytes,
            btsp_handle=self.bootstrap,
        )
        self.request.handles[:] = handles

    def submit(self):
        self.node.ioctl(abi.SUBMIT, self.request)


def test_buffers_get_handles_offsets_and_shared_memory(driver, node):
    first, second = allocate(node), allocate(node, 2 * PAGE)
    assert 0 < first.handle < second.handle
    assert first.offset % mmap.ALLOCATIONGRANULARITY == 0
    one, other = (node.map(second.offset, 2 * PAGE) for _ in range(2))
    one.memory[PAGE] = 7
    assert other.memory[PAGE] == 7
    assert bytes(node.map(first.offset, PAGE).memory) == bytes(PAGE)
    assert driver.used_bytes == 3 * PAGE


@pytest.mark.parametrize("size", [0, 1, mmap.PAGESIZE - 1, PAGE + 1, abi.IOVA_BYTES])
def test_buffers_are_whole_pages_in_the_address_space(driver, node, size):
    refused(errno.EINVAL, lambda: allocate(node, size))
    assert driver.used_bytes == 0


def test_the_address_space_is_shared_and_limited(driver):
    half = abi.IOVA_BYTES // 2 // PAGE * PAGE
    one, two = driver.open(), driver.open()
    allocate(one, half)
    refused(errno.ENOSPC, lambda: allocate(two, half))
    one.close()
    allocate(two, half)


def test_pads_must_be_zero_and_unknown_calls_are_not_known(node):
    refused(errno.EINVAL, lambda: node.ioctl(abi.BO_INIT, abi.BufferInit(size=PAGE, pad=1)))
    refused(errno.EINVAL, lambda: node.ioctl(abi.BO_FREE, abi.BufferFree(handle=allocate(node).handle, pad=1)))
    refused(errno.ENOTTY, lambda: node.ioctl(0xC0106444, abi.BufferFree()))


def test_a_handle_is_freed_once_and_belongs_to_its_file(driver, node):
    made = allocate(node)
    other = driver.open()
    refused(errno.EINVAL, lambda: other.ioctl(abi.BO_FREE, abi.BufferFree(handle=made.handle)))
    refused(errno.EINVAL, lambda: other.map(made.offset, PAGE))
    node.ioctl(abi.BO_FREE, abi.BufferFree(handle=made.handle))
    refused(errno.EINVAL, lambda: node.ioctl(abi.BO_FREE, abi.BufferFree(handle=made.handle)))
    assert driver.used_bytes == 0


def test_a_mapping_outlives_the_buffer(node):
    made = allocate(node)
    mapping = node.map(made.offset, PAGE)
    node.ioctl(abi.BO_FREE, abi.BufferFree(handle=made.handle))
    mapping.memory[0] = 1
    assert mapping.memory[0] == 1


@pytest.mark.parametrize(("offset", "size"), [(0, PAGE), (PAGE, PAGE), (0, 2 * PAGE), (0, 0)])
def test_only_whole_offsets_and_sizes_within_the_buffer_map(node, offset, size):
    made = allocate(node)
    if (offset, size) != (0, PAGE):
        refused(errno.EINVAL, lambda: node.map(made.offset + offset, size))


def test_closing_frees_everything_and_later_calls_fail(driver, node):
    allocate(node)
    node.close()
    assert driver.used_bytes == 0
    refused(errno.EBADF, lambda: allocate(node))


def test_a_submission_in_order_runs(driver, node):
    Loaded(node).submit()
    assert driver.log == []


@pytest.mark.parametrize(
    ("change", "number", "log"),
    [
        (lambda r: setattr(r, "pad", 1), errno.EINVAL, "pad is not 0"),
        (lambda r: r.handles.__setitem__(0, 0), errno.EINVAL, "no command buffer"),
        (lambda r: r.handles.__setitem__(1, r.handles[0]), errno.EINVAL, r"handles[1] is not 0"),
        (lambda r: r.handles.__setitem__(9, 999), errno.EINVAL, "handle 999 is not a buffer"),
        (lambda r: setattr(r, "btsp_handle", 0), errno.EINVAL, "no bootstrap buffer"),
        (lambda r: setattr(r, "btsp_handle", 999), errno.EINVAL, "handle 999 is not a buffer"),
        (lambda r: setattr(r, "tsk_size", PAGE), errno.EINVAL, "not longer than tsk_size"),
        (lambda r: setattr(r, "td_count", 0), errno.EINVAL, "td_count or td_size"),
        (lambda r: setattr(r, "td_size", 0), errno.EINVAL, "td_count or td_size"),
        (lambda r: setattr(r, "td_size", r.tsk_size + 4), errno.EINVAL, "td_count or td_size"),
        (lambda r: setattr(r, "td_count", 3), errno.ETIMEDOUT, "2 tasks"),
        (lambda r: setattr(r, "td_size", 0x100), errno.ETIMEDOUT, "did not finish"),
        (lambda r: r.handles.__setitem__(4, 0), errno.ETIMEDOUT, "buffer 4"),
        (lambda r: r.handles.__setitem__(6, 0), errno.ETIMEDOUT, "buffer 6"),
    ],
)
def test_a_bad_submission_is_refused_and_the_log_says_why(driver, node, change, number, log):
    loaded = Loaded(node)
    change(loaded.request)
    refused(number, loaded.submit)
    assert log in driver.log[-1]
    node.close()
    assert driver.used_bytes == 0


@pytest.mark.parametrize(
    ("place", "value", "log"),
    [(2, 0x41, "does not carry the network id"), (9, 0xFF, "differs from the first task")],
)
def test_the_bootstrap_buffer_is_checked(driver, node, place, value, log):
    loaded = Loaded(node)
    loaded.mappings["bootstrap"].memory[place] = value
    refused(errno.ETIMEDOUT, loaded.submit)
    assert log in driver.log[-1]


def test_damaged_bytes_in_the_command_buffer_end_the_run_and_nothing_else(driver, node):
    loaded = Loaded(node)
    memory = loaded.mappings[0].memory
    size = loaded.request.tsk_size
    good = bytes(memory[:size])
    for place in range(loaded.request.td_size, size, 16):
        memory[:size] = good
        memory[place : place + 4] = b"\xff\xff\xff\xff"
        try:
            loaded.submit()
        except OSError as error:
            assert error.errno == errno.ETIMEDOUT
    memory[:size] = good
    loaded.submit()


def test_the_engine_may_refuse_with_any_of_our_errors(node):
    class Refusing:
        def run(self, submission):
            raise FormatError("no task stream")

    driver = EmulatedDriver(Refusing())
    refused(errno.ETIMEDOUT, Loaded(driver.open()).submit)
    assert "no task stream" in driver.log[-1]


def test_after_unplugging_every_call_says_so(driver, node):
    loaded = Loaded(node)
    driver.unplug()
    refused(errno.ENODEV, loaded.submit)
    refused(errno.ENODEV, lambda: allocate(node))
    refused(errno.ENODEV, driver.open)
    node.close()
    assert driver.used_bytes == 0


def test_other_paths_are_not_the_node():
    system = EmulatedSystem(EmulatedDriver(TinyEngine()))
    assert [info.path for info in system.nodes()] == [LINUX_NODE]
    refused(errno.ENOENT, lambda: system.open("/dev/accel/accel1"))


def test_a_short_text_buffer_of_the_version_call_is_not_overrun(node):
    room = ctypes.create_string_buffer(b"????????", 8)
    version = abi.Version(name_len=2, name=ctypes.addressof(room))
    node.ioctl(abi.VERSION, version)
    assert room.raw[:4] == b"an??"
    assert version.name_len == 3


def test_limits_of_forks_can_be_imitated():
    driver = EmulatedDriver(TinyEngine(), DriverLimits(version=(2, 0, 1), buffer_bytes=1 << 24))
    refused(errno.EINVAL, lambda: allocate(driver.open(), (1 << 24) + PAGE))
    allocate(driver.open(), 1 << 24)

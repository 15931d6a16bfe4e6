"""Finding the device, and what is said when there is none."""

import errno
import os
from dataclasses import dataclass, field

import pytest
from tests.support.runtime_engine import TinyEngine
from tests.support.runtime_programs import binary_program

from openane.core.errors import UnavailableError
from openane.runtimes import SessionOptions
from openane.runtimes.linux import LinuxRuntime
from openane.runtimes.linux.emulation import DriverLimits, EmulatedDriver, EmulatedSystem
from openane.runtimes.linux.node import KernelSystem, NodeInfo, driver_version


@dataclass
class Machine:
    platform: str = "Linux"
    found: tuple = ()
    names: tuple = ()
    opened: dict = field(default_factory=dict)

    def nodes(self):
        return self.found

    def board(self):
        return self.names

    def open(self, path):
        result = self.opened[path]
        if isinstance(result, int):
            raise OSError(result, os.strerror(result))
        return result.open()


def node(number, driver="ane", readable=True):
    return NodeInfo(f"/dev/accel/accel{number}", driver, ("apple,t8103-ane",), readable, "0:44 660")


class OtherDriver(EmulatedDriver):
    def version(self):
        return (1, 2, 3), b"ivpu", b"another accelerator"


def test_the_first_node_of_the_ane_driver_is_taken():
    other, ours = OtherDriver(TinyEngine()), EmulatedDriver(TinyEngine(), DriverLimits((1, 4, 2)))
    machine = Machine(
        found=(node(0, "intel_vpu"), node(1)),
        names=("apple,j274", "apple,t8103"),
        opened={"/dev/accel/accel0": other, "/dev/accel/accel1": ours},
    )
    found = LinuxRuntime(machine).probe()
    assert found.available
    assert found.reason == "/dev/accel/accel1 answers as driver ane 1.4.2"
    assert found.facts["chip"] == "M1"
    assert "ivpu 1.2.3" in found.facts["node /dev/accel/accel0"]


@pytest.mark.parametrize(
    ("machine", "reason", "hint"),
    [
        (Machine("Darwin"), "this is Darwin, not Linux", "simulator"),
        (Machine(), "there is no /dev/accel node", "eiln/ane"),
        (Machine(found=(node(0),), opened={"/dev/accel/accel0": errno.EACCES}), "no permission", "group"),
        (Machine(found=(node(0),), opened={"/dev/accel/accel0": errno.ENODEV}), "device is gone", "dmesg"),
        (Machine(found=(node(0),), opened={"/dev/accel/accel0": errno.EBUSY}), "device is busy", "again"),
        (
            Machine(found=(node(0, "x"),), opened={"/dev/accel/accel0": OtherDriver(TinyEngine())}),
            "belongs to driver 'ivpu', not 'ane'",
            "simulator",
        ),
    ],
)
def test_a_missing_device_has_a_reason_and_a_next_step(machine, reason, hint):
    found = LinuxRuntime(machine).probe()
    assert not found.available
    assert reason in found.reason
    assert hint in found.hint
    with pytest.raises(UnavailableError, match=reason):
        LinuxRuntime(machine).open(binary_program())


def test_a_node_by_name_is_the_only_one_tried():
    driver = EmulatedDriver(TinyEngine())
    runtime = LinuxRuntime(EmulatedSystem(driver))
    with pytest.raises(UnavailableError, match="accel7: there is no such device node"):
        runtime.open(binary_program(), SessionOptions(device="/dev/accel/accel7"))
    runtime.open(binary_program(), SessionOptions(device="/dev/accel/accel0")).close()


def test_the_version_call_fills_in_numbers_and_texts():
    version = driver_version(EmulatedDriver(TinyEngine(), DriverLimits((2, 3, 4))).open())
    assert (version.name, version.version) == ("ane", (2, 3, 4))
    assert version.description == "openane emulated neural engine"


def test_a_file_system_is_read_without_opening_anything(tmp_path):
    for number in (10, 2):
        folder = tmp_path / f"sys/class/accel/accel{number}/device"
        (folder / "of_node").mkdir(parents=True)
        (folder / "of_node/compatible").write_bytes(b"apple,t6000-ane\0apple,ane\0")
        (tmp_path / "drivers/ane").mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(tmp_path / "drivers/ane")
        (tmp_path / "dev/accel").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"dev/accel/accel{number}").touch()
    (tmp_path / "dev/accel/other").touch()
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_bytes(b"apple,j314s\0apple,t6000\0")
    system = KernelSystem(tmp_path)
    assert [info.path.rsplit("/", 1)[1] for info in system.nodes()] == ["accel2", "accel10"]
    assert system.nodes()[0].driver == "ane"
    assert system.nodes()[0].compatible == ("apple,t6000-ane", "apple,ane")
    assert system.board() == ("apple,j314s", "apple,t6000")


def test_an_ordinary_file_as_a_node_is_not_a_device(tmp_path):
    path = tmp_path / "accel0"
    path.touch()
    found = LinuxRuntime(KernelSystem()).probe
    assert found().facts is not None
    with pytest.raises(UnavailableError, match="not a DRM device"):
        LinuxRuntime(KernelSystem()).open(binary_program(), SessionOptions(device=str(path)))

"""What the doctor says about machines that are not here."""

import json
from importlib import metadata

import pytest
from click.testing import CliRunner
from tests.support.macos_fake import FakeBridge

from openane.cli import root
from openane.runtimes.doctor import examine, macos_remarks


def missing(name):
    raise metadata.PackageNotFoundError(name)


def values(report, area):
    return {finding.name: finding for finding in report.findings if finding.area == area}


def test_this_machine_is_described_without_a_device():
    report = examine()
    assert report.runtimes["simulator"].available
    assert {"system", "processor", "python"} <= values(report, "machine").keys()
    assert report.next_steps


def test_missing_packages_come_with_the_way_to_install_them():
    report = examine(version_of=missing)
    packages = values(report, "package")
    assert packages["onnx"].works is False
    assert "pip install 'openane[onnx]'" in packages["onnx"].hint
    assert any("numpy" in step for step in report.next_steps)


def test_a_mac_is_explained():
    answers = {"csrutil": "System Integrity Protection status: enabled.", "sysctl": "Apple M1", "sw_vers": "14.5"}
    report = examine("Darwin", lambda command: answers[command[0]], lambda: FakeBridge(missing={"ANECompiler"}))
    assert values(report, "machine")["chip"].value == "Apple M1"
    macos = values(report, "macos")
    assert macos["AppleNeuralEngine"].works and macos["ANECompiler"].works is False
    assert "0xe00002c7" in macos["entitlements"].hint
    assert "0xe00002e2" in macos["system integrity protection"].hint


@pytest.mark.parametrize(
    ("version", "count"), [("11.7", 1), ("13.6.1", 1), ("14.0", 2), ("26.3.1", 3), ("26.6", 4), ("27.0", 4), ("", 0)]
)
def test_remarks_follow_the_version(version, count):
    assert len(macos_remarks(version)) == count


def test_the_command_prints_tables_and_json():
    result = CliRunner().invoke(root, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "Next steps" in result.output
    document = json.loads(CliRunner().invoke(root, ["doctor", "--json"]).stdout)
    assert set(document) == {"schema", "schema_version", "findings", "runtimes", "next_steps"}
    assert document["runtimes"]["simulator"]["available"] is True

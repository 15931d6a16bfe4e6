"""`openane emulate`: run a client of the Linux driver against an emulated device."""

from __future__ import annotations

import os
import sys

import click

from openane.cli._say import say
from openane.runtimes.device_nodes import LINUX_NODE


@click.command(
    name="emulate",
    short_help="Run a client of the Linux ANE driver on the simulator.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--node", default=LINUX_NODE, show_default=True, help="Path that the program opens as the device.")
@click.option("--quiet", is_flag=True, help="Do not print the emulated kernel log.")
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
def command(node: str, quiet: bool, program: tuple[str, ...]) -> None:
    """Run PROGRAM with its arguments against an emulated driver and the simulator.

    The program is not modified. A small preloaded library, compiled on the fly, forwards its calls on the device node
    to the emulated driver, which runs the submitted tasks on the simulator. Put -- before a program that has options.
    The exit status is that of the program.
    """
    from openane.runtimes.linux.emulation import EmulatedDriver
    from openane.runtimes.linux.engine import SimulatedEngine
    from openane.runtimes.linux.server import run_program

    driver = EmulatedDriver(SimulatedEngine())
    status = run_program(program, driver, os.environ, node)
    if not quiet:
        for line in driver.log:
            say(line, err=True)
    sys.exit(status if status >= 0 else 128 - status)

"""What the verbs about compiled programs share: opening any file as a program, and writing programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openane.cli._say import say
from openane.core.errors import InputError
from openane.core.files import write_atomically
from openane.core.reader import Buffer
from openane.formats.anec import AnecFile, anec_pieces
from openane.formats.hwx import HwxFile, hwx_pieces
from openane.formats.sniff import FileKind, sniff
from openane.program import Program
from openane.program.verify import verify_program
from openane.targets import attach, load_program
from openane.targets.assembly import load_assembly, open_container
from openane.targets.registry import DEFAULT_TARGET

_SHOWN_WARNINGS = 5
CONTAINERS = {".hwx": "hwx", ".anec": "anec"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program and the file it is from; `container` is None when it was compiled or assembled just now."""

    program: Program
    container: HwxFile | AnecFile | None


def open_compiled(path: Path, target: str = DEFAULT_TARGET) -> Compiled:
    """The program in a file; a model is compiled, an assembly text is assembled.

    Raises:
        OpenaneError: see `openane.core.errors`.
    """
    container = open_container(path)
    if container is not None:
        return Compiled(load_program(container), container)
    if sniff(path) is FileKind.ASSEMBLY:
        return Compiled(load_assembly(path), None)
    from openane.compiler.driver import Options, build

    return Compiled(attach(build(path, Options(target)).program), None)


def container_of(path: Path) -> str:
    """The container that the ending of an output's name asks for: "hwx" or "anec".

    Raises:
        InputError: another ending.
    """
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise InputError("the ending does not say what to write", where=str(path), limit=", ".join(CONTAINERS))
    return found


def program_pieces(program: Program, container: str) -> list[Buffer]:
    """A new file of a program, as pieces in order.

    Raises:
        InputError: the program does not fit the container.
    """
    return hwx_pieces(program) if container == "hwx" else anec_pieces(program)


def write_pieces(path: Path, pieces: list[Buffer]) -> int:
    """Writes a file whole or not at all; returns its size in bytes.

    Raises:
        InputError: it cannot be written.
    """
    write_atomically(path, pieces)
    return sum(map(len, pieces))


def warn_about(program: Program) -> None:
    """Prints to standard error what is wrong with a program that someone wrote by hand."""
    findings = verify_program(program)
    for each in findings[:_SHOWN_WARNINGS]:
        say(f"warning: {each}", err=True)
    if len(findings) > _SHOWN_WARNINGS:
        say("warning: and more; `openane info` lists them", err=True)

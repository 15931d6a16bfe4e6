"""Shared by the commands for compiled programs: open any file as a program, and write programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from openane.cli._say import say
from openane.core.errors import InputError
from openane.targets.registry import DEFAULT_TARGET

if TYPE_CHECKING:
    from openane.core.reader import Buffer
    from openane.formats.anec import AnecFile
    from openane.formats.hwx import HwxFile
    from openane.program import Program

_SHOWN_WARNINGS = 5
CONTAINERS = {".hwx": "hwx", ".anec": "anec"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program and the file it was read from; `container` is None if it was just compiled or assembled."""

    program: Program
    container: HwxFile | AnecFile | None


def open_compiled(path: Path, target: str = DEFAULT_TARGET) -> Compiled:
    """The program in a file; a model is compiled, and assembly text is assembled.

    Raises:
        OpenaneError: see `openane.core.errors`.
    """
    from openane.formats.sniff import FileKind, sniff
    from openane.targets import attach, load_program
    from openane.targets.assembly import load_assembly, open_container

    container = open_container(path)
    if container is not None:
        return Compiled(load_program(container), container)
    if sniff(path) is FileKind.ASSEMBLY:
        return Compiled(load_assembly(path), None)
    from openane.compiler.driver import Options, build

    return Compiled(attach(build(path, Options(target)).program), None)


def container_of(path: Path) -> str:
    """The container that the extension of an output file selects: "hwx" or "anec".

    Raises:
        InputError: another extension.
    """
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise InputError(
            "unknown file extension of the output",
            where=str(path),
            value=path.suffix or "none",
            limit=", ".join(CONTAINERS),
        )
    return found


def program_pieces(program: Program, container: str) -> list[Buffer]:
    """A new file for a program, as consecutive pieces.

    Raises:
        InputError: the program does not fit the container.
    """
    from openane.formats.anec import anec_pieces
    from openane.formats.hwx import hwx_pieces

    return hwx_pieces(program) if container == "hwx" else anec_pieces(program)


def numbered(program: Program, container: str) -> Program:
    """The program with the buffer numbers that a new file of a container has."""
    from openane.formats.anec import libane_order

    return libane_order(program) if container == "anec" else program


def write_compiled(path: Path, pieces: list[Buffer], program: Program | None) -> int:
    """Writes a compiled file, a .anec with its operands next to it; returns its size in bytes.

    Args:
        path: of the file; its extension has chosen the container.
        pieces: the file.
        program: with the buffer numbers of the file; None when nothing is known of it.

    Raises:
        InputError: it cannot be written.
    """
    from openane.core.files import write_atomically
    from openane.formats.anec import save_with_operands

    if container_of(path) == "anec" and program is not None:
        save_with_operands(path, b"".join(pieces), program)
    else:
        write_atomically(path, pieces)
    return sum(map(len, pieces))


def warn_about(program: Program) -> None:
    """Prints the findings of the verifier about a hand-written program to standard error."""
    from openane.program.verify import verify_program

    findings = verify_program(program)
    for each in findings[:_SHOWN_WARNINGS]:
        say(f"warning: {each}", err=True)
    if len(findings) > _SHOWN_WARNINGS:
        say("warning: there are more findings; `openane info` lists them", err=True)

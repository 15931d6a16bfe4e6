"""Disassembler and assembler with the register names of the generation that a file is for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from openane.core.errors import InputError, valid
from openane.core.reader import Buffer
from openane.formats.anec import AnecFile, read_anec
from openane.formats.assembly import Assembled, Parts, assemble_text, disassemble_lines, program_lines
from openane.formats.assembly.write import ConstantLines, inline
from openane.formats.hwx import HwxFile, read_hwx
from openane.formats.sniff import FileKind, sniff
from openane.formats.source import Source, open_source
from openane.program import Program
from openane.program.program import StreamCodec
from openane.targets.loading import attach
from openane.targets.registry import generation, generation_of


def open_container(source: Source, name: str = "") -> HwxFile | AnecFile | None:
    """An opened .hwx or .anec file, by content; None when it is something else.

    Raises:
        InputError: the file cannot be read.
        FormatError: it is damaged, or nothing that openane knows.
    """
    kind = sniff(source)
    if kind is FileKind.HWX:
        return read_hwx(source, name)
    return read_anec(source, name) if kind is FileKind.ANEC else None


def disassemble(
    source: HwxFile | AnecFile | Program, *, parts: Parts = Parts.ALL, constants: ConstantLines = inline
) -> str:
    """The assembly text of a compiled file or of a program.

    Args:
        source: an opened file, or a program.
        parts: the whole file, so that the text assembles to the same bytes; or only the program.
        constants: where constants go; inline by default.

    Raises:
        FormatError: the container is damaged.
        UnsupportedError: the generation is not known.
    """
    if isinstance(source, Program):
        program = attach(source)
        assert program.codec is not None
        lines = program_lines(program, program.codec, constants)
    else:
        if isinstance(source, AnecFile):
            source = replace(source, operands=None)  # the text describes the container, which has no names
        subtype = source.header.cpu_subtype if isinstance(source, HwxFile) else source.image().cpu_subtype
        made_for = generation_of(subtype)
        lines = disassemble_lines(source, made_for.name, made_for.codec, parts=parts, constants=constants)
    return "\n".join(lines) + "\n"


def assemble(text: str, where: str = "assembly", folder: Path | None = None) -> Assembled:
    """What an assembly text says: its program, and its exact file when it holds a container.

    Args:
        text: the text.
        where: name of the text, for messages.
        folder: where files that `incbin` names are looked for, before the current folder.

    Raises:
        FormatError: with line and column of what is wrong.
        InputError: a file that is missing, or outside of the folder without the digest of its bytes: a text of a
            untrusted source must not carry what its author does not know.
    """

    def codec_of(name: str) -> StreamCodec:
        return generation(name).codec

    def opener(name: str, known: bool) -> Buffer:
        return _included(folder or Path(), name, known)

    return assemble_text(text, codec_of, opener, where)


def _included(folder: Path, name: str, known: bool) -> Buffer:
    """The bytes of a file that a text names; anywhere when the text knows them, else in the folder only."""
    neighbor = folder / name
    try:
        path = neighbor if neighbor.exists() else Path(name)
        inside = path.resolve().is_relative_to(folder.resolve())
        file = path.is_file() or not path.exists()  # what is missing is reported by who opens it
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"cannot read the file: {error}", where=name) from error
    if not inside and not known:
        raise InputError(
            "a file outside of the folder of the text",
            where=name,
            hint="Put a copy next to the text, or tell its digest by sha256=.",
        )
    if not file:
        raise InputError("not a file", where=name)
    return open_source(path).data


def assemble_file(path: Path) -> Assembled:
    """What an assembly text in a file says; files that it includes are looked for next to it.

    Raises:
        InputError: the file cannot be read, or is not text.
        FormatError: with line and column of what is wrong.
    """
    raw = bytes(open_source(path).data)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not a text in UTF-8", where=str(path), value=f"byte {error.start:#x}") from None
    return assemble(text, valid(path.name), path.parent)


def load_assembly(path: Path) -> Program:
    """The program that an assembly text in a file says.

    Raises:
        InputError: the file cannot be read, is not a text, or gives its tasks as bytes only.
        FormatError: with line and column of what is wrong.
    """
    assembled = assemble_file(path)
    if assembled.program is None:
        raise InputError("the text gives its tasks as bytes only", where=str(path), hint="Assemble it to a file first.")
    return assembled.program

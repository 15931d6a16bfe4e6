"""Assembly text: compiled programs that people can read and change, and the way back."""

from openane.formats.assembly.read import Assembled, assemble_text
from openane.formats.assembly.write import Parts, disassemble_lines, program_lines

__all__ = ["Assembled", "Parts", "assemble_text", "disassemble_lines", "program_lines"]

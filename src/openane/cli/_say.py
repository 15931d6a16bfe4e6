"""The only writing to the terminal: names and texts of files are shown, and never obeyed."""

from __future__ import annotations

import re

import click

from openane.core.errors import printable

_IN_JSON = re.compile(r"[^\x00-\x7e]")
"""What JSON may hold as it is; control characters below are escaped by its writer."""


def say(line: str = "", *, err: bool = False) -> None:
    """Prints one line; control characters, line breaks and reversed writing in it are shown as escapes."""
    click.echo(printable(line, keep=""), err=err)


def say_text(text: str, *, err: bool = False) -> None:
    """Prints lines that openane laid out, with the ends that they have; the rest as `say` does."""
    click.echo("\n".join(printable(line, keep="\t") for line in text.split("\n")), nl=False, err=err)


def say_json(text: str) -> None:
    """Prints a JSON text; what a terminal might obey stands in it as escapes, which mean the same."""
    click.echo(_IN_JSON.sub(_escaped, text))


def say_usage(error: click.UsageError) -> None:
    """Prints what is wrong with a command line; the shell may have put names of strange files into it."""
    if type(error).show is not click.UsageError.show:  # of no arguments at all, which shows the help
        error.show()
        return
    if error.ctx is not None:
        say_text(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n\n", err=True)
    say(f"Error: {error.format_message()}", err=True)


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character.isprintable():
        return character
    pairs = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{pairs[i : i + 2].hex()}" for i in range(0, len(pairs), 2))

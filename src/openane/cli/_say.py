"""All output to the terminal goes through here: control characters in names and file contents are escaped."""

from __future__ import annotations

import logging
import re

import click

from openane.core.errors import printable

_IN_JSON = re.compile(r"[^\x00-\x7e]")
"""Characters that need escapes in addition to those that the JSON writer escapes."""


def say(line: str = "", *, err: bool = False) -> None:
    """Prints one line; control characters, line breaks and bidirectional overrides are shown as escapes.

    Lines for standard error that are no errors are left out under --quiet.
    """
    if err and is_quiet() and not line.startswith("error"):
        return
    click.echo(printable(line, keep=""), err=err)


def is_quiet() -> bool:
    """Whether --quiet was given."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get("quiet"))


def log_to_terminal(level: int) -> None:
    """Shows what the library logs on standard error, one line each."""
    log = logging.getLogger("openane")
    log.setLevel(level)
    if not any(isinstance(handler, _TerminalHandler) for handler in log.handlers):
        log.addHandler(_TerminalHandler())


class _TerminalHandler(logging.Handler):
    """Prints records as the command line prints everything else."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.name.removeprefix('openane.')}: {record.getMessage()}", err=True)


def say_text(text: str, *, err: bool = False) -> None:
    """Prints text that openane laid out, with its own line ends; escapes everything else as `say` does."""
    click.echo("\n".join(printable(line, keep="\t") for line in text.split("\n")), nl=False, err=err)


def say_json(text: str) -> None:
    """Prints JSON; characters that a terminal might interpret are written as equivalent JSON escapes."""
    click.echo(_IN_JSON.sub(_escaped, text))


def say_usage(error: click.UsageError) -> None:
    """Prints a usage error; the command line may contain untrusted file names from the shell."""
    if type(error).show is not click.UsageError.show:  # without arguments click shows the help
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

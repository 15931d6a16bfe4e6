"""The command line: one file per command, found by its name; the only place that prints."""

from __future__ import annotations

import errno
import importlib
import logging
import pkgutil
import re
import sys

import click

from openane.cli._ending import (
    ERROR_STATUS,
    WRONG_STATUS,
    Terminated,
    abandon_output,
    ended_by_signals,
    short_of_memory,
)
from openane.cli._say import log_to_terminal, say, say_usage
from openane.cli._show import print_errors
from openane.core.errors import InternalError, OpenaneError, UnavailableError, WrongProgramError

BUG_STATUS = 70
"""Exit status for a fault of our own (EX_SOFTWARE of sysexits.h)."""
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EBADF})
"""The error numbers of a failed write to standard output."""


_FLAGS = frozenset({"-v", "-vv", "--verbose", "-q", "--quiet"})
_SUMMARY = re.compile(r'"""`openane [\w-]+`: (.+)\.""?"?')


class Verbs(click.Group):
    """A command group that imports the module of a command on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every module of this package is a command, unless its name starts with an underscore."""
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` object in the module of a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists each command with its complete summary, which is the first line of its module, without importing it."""
        rows = [(name, _summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _summary(name: str) -> str:
    """What a command does: the first line of its module, without the period."""
    source = pkgutil.get_data(__name__, f"{name.replace('-', '_')}.py") or b""
    match = _SUMMARY.match(source.split(b"\n", 1)[0].decode())
    assert match is not None, f"the first line of the file of {name} is not a summary"
    return match[1][:1].upper() + match[1][1:]


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openane")
@click.option("--traceback", is_flag=True, expose_value=False, help="Show the Python traceback of an error.")
@click.option("-v", "--verbose", count=True, help="Show what happens, on standard error; -vv shows more.")
@click.option("-q", "--quiet", is_flag=True, help="Show results and errors only.")
def root(verbose: int, quiet: bool) -> None:
    """An open toolchain for the Apple Neural Engine.

    -v and -q may be given anywhere. Exit status: 0 right, 1 wrong (a result, a program or a condition), 2 error, 70 a
    bug in openane.
    """
    if verbose:
        log_to_terminal(logging.DEBUG if verbose > 1 else logging.INFO)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line.

    Exit status: 0 on success; 1 when a result or a program is wrong, or a condition is not met; 2 for an error in the
    input, the command line or the environment (one line per finding; a JSON object on standard output under --json);
    70 for a bug in openane, 130 on Ctrl-C, 143 or 129 after SIGTERM or SIGHUP.
    """
    arguments = _with_flags_first(sys.argv[1:] if arguments is None else arguments)
    try:
        with ended_by_signals():
            _run(arguments)
    except Terminated as end:
        sys.exit(end.status)


def _with_flags_first(arguments: list[str]) -> list[str]:
    """-v and -q belong to no command; they may follow its name, up to a "--"."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [each for each in arguments[:end] if each in _FLAGS]
    return [*flags, *(each for each in arguments[:end] if each not in _FLAGS), *arguments[end:]]


def _run(arguments: list[str]) -> None:
    if "--traceback" in arguments[:4]:
        root.main(arguments, prog_name="openane", standalone_mode=False)
        return
    try:
        root.main(arguments, prog_name="openane", standalone_mode=False)
    except OpenaneError as error:
        if isinstance(error, UnavailableError) and short_of_memory(
            error
        ):  # the package is installed but failed to load
            sys.exit(_explained(error, arguments))
        for diagnostic in error.diagnostics:
            say(f"error: {diagnostic}", err=True)
        status = _status(error)
        if "--json" in arguments:
            print_errors(error, status)
        sys.exit(status)
    except click.UsageError as error:
        say_usage(error)
        sys.exit(ERROR_STATUS)
    except click.ClickException as error:
        say(f"error: {error.format_message()}", err=True)
        sys.exit(ERROR_STATUS)
    except (click.Abort, KeyboardInterrupt):
        say("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader closed the pipe
        sys.exit(ERROR_STATUS)
    except Exception as error:
        sys.exit(_explained(error, arguments))


def _status(error: OpenaneError) -> int:
    if isinstance(error, InternalError):
        return BUG_STATUS
    return WRONG_STATUS if isinstance(error, WrongProgramError) else ERROR_STATUS


def _explained(error: Exception, arguments: list[str]) -> int:
    """Reports an error of another type in one line, and returns the exit status."""
    if short_of_memory(error):
        hint = "Raise the limit of the process (ulimit -v), set a lower --memory-limit, or use a smaller model."
        say(f"error: not enough memory. {hint}", err=True)
        return ERROR_STATUS
    if isinstance(error, OSError) and error.errno in UNWRITABLE and error.filename is None:
        abandon_output()
        say(f"error: cannot write the output: {error.strerror}. Write it to a disk with free space.", err=True)
        return ERROR_STATUS
    what = " ".join(f"{type(error).__name__}: {error}".split())
    say(
        f"error: openane failed ({what[:300]}). This is a bug in openane: please report it with the output of "
        f"`openane --traceback {' '.join(arguments)}`",
        err=True,
    )
    return BUG_STATUS

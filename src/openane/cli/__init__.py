"""The command line: one file per verb, found by its name; the only place that prints."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from openane.core.errors import OpenaneError


class Verbs(click.Group):
    """A command group that imports a verb's file only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every file of this package that does not begin with an underscore is a verb."""
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` object of the verb's file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openane")
def root() -> None:
    """An open toolchain for the Apple Neural Engine."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line: one line and status 1 for a fault of the input, 2 for wrong usage."""
    try:
        root.main(arguments, prog_name="openane", standalone_mode=False)
    except OpenaneError as error:
        for diagnostic in error.diagnostics:
            click.echo(f"error: {diagnostic}", err=True)
        sys.exit(1)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)

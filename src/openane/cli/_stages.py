"""The options of `openane compile` that show its stages: --dump and --stop-after."""

from __future__ import annotations

from pathlib import Path

from openane.cli._say import say
from openane.compiler.driver import Options, build
from openane.compiler.pipeline import all_steps
from openane.core.errors import InputError
from openane.core.files import make_folder, safe_file_name, write_atomically
from openane.core.passes import Stage
from openane.core.suggestions import suggest


class StopAfter:
    """Stops a compilation after one of its passes.

    Args:
        wanted: the name of the pass, or its number in the list of all.
        rescale: whether the compilation rescales, which adds a pass.
        recorded: whether it uses recorded encodings only, which adds one too.

    Raises:
        InputError: there is no such pass.
    """

    def __init__(self, wanted: str, rescale: bool, recorded: bool = False) -> None:
        self._names = [step.name for step in all_steps(rescale, recorded)]
        known = dict(enumerate(self._names))
        self._wanted = int(wanted) if wanted.isdecimal() else self._names.index(wanted) if wanted in self._names else -1
        if self._wanted not in known:
            raise InputError(
                "unknown pass",
                value=wanted,
                limit=f"a name, or 0 to {len(known) - 1}",
                hint=suggest(wanted, self._names) or "See openane passes.",
            )
        self._next = 0
        self._text = ""

    def __call__(self, stage: Stage) -> None:
        number = self._names.index(stage.name, self._next)
        self._next = number + 1
        if number == self._wanted:
            self._text = f"; {stage.name}: {stage.reason}\n{stage.text()}"
            raise StoppedError

    def write(self, file: Path, options: Options, output: Path) -> None:
        """Compiles up to the pass and writes the text.

        Raises:
            InputError: the compilation of this file does not run the pass.
        """
        try:
            build(file, options)
        except StoppedError:
            write_atomically(output, self._text.encode())
            say(f"{output}: {file.name} after the pass {self._names[self._wanted]}")
            return
        raise InputError(
            "the compilation of this file does not run this pass",
            where=str(file),
            value=self._names[self._wanted],
            hint="A net.plist starts with the passes over units; a compiled program runs none.",
        )


class StoppedError(Exception):
    """The compilation has run the requested pass."""


class Dump:
    """Writes every stage to a numbered file in a folder, which is created for the first stage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, stage: Stage) -> None:
        make_folder(self._folder)
        path = self._folder / f"{self._count:02}-{safe_file_name(stage.name)}.txt"
        self._count += 1
        write_atomically(path, f"; {stage.name}: {stage.reason}\n{stage.text()}".encode())

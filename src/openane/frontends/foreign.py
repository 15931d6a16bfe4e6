"""Calling other people's converters: keep them quiet, and make one line of what they raise."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

LINE_LIMIT = 300


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps notes, logs and warnings of a library away from the user's terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its class when it says nothing."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:LINE_LIMIT]

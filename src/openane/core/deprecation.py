"""Old names that keep working for one version."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


def renamed_keyword(old: str, new: str) -> Callable[[T], T]:
    """A decorator: a function, or a class when it is made, also takes the keyword `old` for `new`, with a warning.

    Raises:
        TypeError: at a call that gives both.
    """

    def decorate(target: T) -> T:
        kind: Any = target if inspect.isclass(target) else None
        called = target if kind is None else kind.__init__

        @functools.wraps(called)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            if old in keywords:
                if new in keywords:
                    raise TypeError(f"{target.__qualname__}() got {new!r} and its old name {old!r}")
                warn_of_old_name(f"{target.__qualname__}({old}=...)", f"{new}=")
                keywords[new] = keywords.pop(old)
            return called(*arguments, **keywords)

        if kind is None:
            return wrapper  # type: ignore[return-value]
        kind.__init__ = wrapper
        return target

    return decorate


def warn_of_old_name(old: str, new: str) -> None:
    """Warns the caller of the function that calls this one."""
    warnings.warn(f"{old} is deprecated and goes with the next version; use {new}", DeprecationWarning, stacklevel=3)

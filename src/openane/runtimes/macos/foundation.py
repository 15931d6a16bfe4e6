"""Python values as Foundation objects and back; all results are autoreleased."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

from openane.core.errors import FaultError, OpenaneError, UnavailableError
from openane.runtimes.macos.objc import BOOL, Bridge, address

Value = str | bytes | bool | int | Path | Sequence["Value"] | Mapping[str, "Value"]

ENTITLEMENT_STATUS = 0xE00002C7
SIGNATURE_STATUS = 0xE00002E2
UNEQUAL_SIZES_STATUS = 0x1D

_STATUS_HINTS = {
    ENTITLEMENT_STATUS: "The process lacks an entitlement such as com.apple.ane.iokit-user-access.",
    SIGNATURE_STATUS: "The system loads only programs that its own compiler signed (trust cache).",
    UNEQUAL_SIZES_STATUS: "All inputs must have the same number of bytes, and all outputs too.",
}
"""What published experiments say about status numbers in error texts."""


def to_object(bridge: Bridge, value: Value) -> int:
    """NSString, NSData, NSNumber, file NSURL, NSArray or NSDictionary of a Python value."""
    if isinstance(value, bool):
        return _send(bridge, "NSNumber", "numberWithBool:", BOOL(value))
    if isinstance(value, int):
        return _send(bridge, "NSNumber", "numberWithLongLong:", ctypes.c_int64(value))
    if isinstance(value, str):
        return _send(bridge, "NSString", "stringWithUTF8String:", ctypes.c_char_p(value.encode()))
    if isinstance(value, bytes):
        length = ctypes.c_uint64(len(value))
        return _send(bridge, "NSData", "dataWithBytes:length:", ctypes.c_char_p(value), length)
    if isinstance(value, Path):
        return _send(bridge, "NSURL", "fileURLWithPath:", to_object(bridge, str(value)))
    if isinstance(value, Mapping):
        dictionary = _send(bridge, "NSMutableDictionary", "dictionary")
        for key, item in value.items():
            bridge.send(dictionary, "setObject:forKey:", to_object(bridge, item), to_object(bridge, key), result=None)
        return dictionary
    return array_of(bridge, [to_object(bridge, item) for item in value])


def array_of(bridge: Bridge, objects: Sequence[int]) -> int:
    """An NSArray of objects."""
    array = _send(bridge, "NSMutableArray", "array")
    for item in objects:
        bridge.send(array, "addObject:", item, result=None)
    return array


def to_text(bridge: Bridge, text: int) -> str:
    """The text of an NSString, empty for nil."""
    raw: bytes | None = bridge.send(text, "UTF8String", result=ctypes.c_char_p) if text else None
    return raw.decode("utf-8", "replace") if raw else ""


class Attempt:
    """A message that answers YES or NO and explains a NO through an NSError.

    Args:
        bridge: to the system.
        where: what is being done, for messages.
    """

    def __init__(self, bridge: Bridge, where: str) -> None:
        self._bridge = bridge
        self._where = where
        self._error = bridge.out()

    @property
    def error(self) -> ctypes.c_void_p:
        """The last argument of the message."""
        return address(self._error)

    def check(self, succeeded: int) -> None:
        """Raises FaultError or UnavailableError with the system's own words when the answer was NO."""
        if succeeded:
            return
        error = self._error.value or 0
        text = to_text(self._bridge, self._bridge.send(error, "localizedDescription")) if error else ""
        code = self._bridge.send(error, "code", result=ctypes.c_int64) if error else 0
        raise system_error(self._where, code, text)


def system_error(where: str, status: int, text: str = "") -> OpenaneError:
    """A refusal by the system as an error for the user."""
    unsigned = status & 0xFFFFFFFF
    known = next((number for number in _STATUS_HINTS if number == unsigned or f"{number:x}" in text.lower()), None)
    kind = UnavailableError if known in (ENTITLEMENT_STATUS, SIGNATURE_STATUS) else FaultError
    return kind(
        text.rstrip(".") or "macOS refused without a reason",
        where=where,
        value=f"status {unsigned:#x}",
        hint=_STATUS_HINTS.get(known, "") if known is not None else "",
    )


def _send(bridge: Bridge, class_name: str, selector: str, *arguments: object) -> int:
    result: int = bridge.send(bridge.class_named(class_name), selector, *arguments)  # type: ignore[arg-type]
    return result

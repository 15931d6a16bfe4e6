"""A macOS that records every call and answers from a table."""

from __future__ import annotations

import ctypes
from collections import Counter

from openane.core.errors import UnavailableError

TEXT, DATA, NUMBER, URL, ARRAY, DICTIONARY = "NSString", "NSData", "NSNumber", "NSURL", "NSArray", "NSDictionary"


class FakeBridge:
    """Objects are numbers that stand for Python values; `calls` holds what was asked, in order.

    Args:
        answers: selector or function name -> value, or a function of the arguments; an exception is raised.
        missing: names of frameworks, classes, functions and selectors that this system does not have.
    """

    def __init__(self, answers=None, missing=()):
        self.calls = []
        self.answers = answers or {}
        self.missing = set(missing)
        self.live = Counter()
        self.blocks = []
        self._objects = {}
        self._next = 0x1000
        self._memory = {}

    # --- objects

    def object(self, value):
        self._next += 16
        self._objects[self._next] = value
        return self._next

    def value(self, reference):
        return self._objects.get(reference, reference)

    def plain(self, argument):
        """A recorded argument: objects as their Python values, ctypes values as numbers."""
        if isinstance(argument, int):
            value = self.value(argument)
            if isinstance(value, dict):
                return {self.plain(k): self.plain(v) for k, v in value.items()}
            return [self.plain(item) for item in value] if isinstance(value, list) else value
        return argument.value if not isinstance(argument, ctypes.c_void_p) else "out"

    # --- the bridge

    def load(self, framework):
        self.check(framework)
        self.calls.append(("load", framework))

    def check(self, name):
        if name in self.missing:
            raise UnavailableError(f"{name} is not on this system")

    def class_named(self, name):
        self.check(name)
        return self.object(("class", name))

    def call(self, name, *arguments, result=ctypes.c_void_p):
        self.check(name)
        return self.answer(name, arguments, ())

    def send(self, receiver, selector, *arguments, result=ctypes.c_void_p):
        if not receiver:
            return 0
        self.check(selector)
        owner = self.value(receiver)
        return self.answer(selector, arguments, (receiver, owner))

    def answer(self, name, arguments, receiver):
        handler = getattr(self, "on_" + name.replace(":", "_"), None)
        if handler is not None:
            return handler(*receiver, *arguments)
        shown = receiver[1][1] if receiver and isinstance(receiver[1], tuple) else ""
        self.calls.append((f"{shown}.{name}" if shown else name, *[self.plain(item) for item in arguments]))
        answer = self.answers.get(name, 0)
        if isinstance(answer, Exception):
            raise answer
        return answer(*arguments) if callable(answer) else answer

    def out(self):
        return ctypes.c_void_p()

    def block(self, function, *arguments):
        self.blocks.append(function)
        return self.object("block")

    def read(self, address, size_bytes):
        return bytes(self._memory[address][:size_bytes])

    def memory(self, address, size_bytes):
        return memoryview(self._memory[address])[:size_bytes]

    def memory_of(self, size_bytes):
        address = self.object("memory")
        self._memory[address] = bytearray(size_bytes)
        return address

    def names(self):
        return [call[0] for call in self.calls]

    # --- Foundation, answered the same way everywhere and not recorded

    def on_stringWithUTF8String_(self, receiver, owner, text):  # noqa: N802
        return self.object(text.value.decode())

    def on_dataWithBytes_length_(self, receiver, owner, data, length):  # noqa: N802
        return self.object(ctypes.string_at(data, length.value))

    def on_numberWithLongLong_(self, receiver, owner, value):  # noqa: N802
        return self.object(value.value)

    def on_numberWithBool_(self, receiver, owner, value):  # noqa: N802
        return self.object(bool(value.value))

    def on_fileURLWithPath_(self, receiver, owner, path):  # noqa: N802
        return self.object("file://" + self.value(path))

    def on_array(self, receiver, owner):
        return self.object([])

    def on_dictionary(self, receiver, owner):
        return self.object({})

    def on_addObject_(self, receiver, owner, item):  # noqa: N802
        owner.append(item)

    def on_setObject_forKey_(self, receiver, owner, item, key):  # noqa: N802
        owner[key] = item

    def on_UTF8String(self, receiver, owner):  # noqa: N802
        return owner.encode()

    def on_objc_autoreleasePoolPush(self):  # noqa: N802
        self.live["pool"] += 1
        return self.object("pool")

    def on_objc_autoreleasePoolPop(self, pool):  # noqa: N802
        self.live["pool"] -= 1

    def on_retain(self, receiver, owner):
        self.live["object"] += 1
        return receiver

    def on_release(self, receiver, owner):
        self.live["object"] -= 1

    def on_alloc(self, receiver, owner):
        self.live["object"] += 1
        return self.object(("new", owner[1]))

    # --- IOSurface

    def on_IOSurfaceCreate(self, properties):  # noqa: N802
        values = self.plain(properties)
        self.calls.append(("IOSurfaceCreate", values))
        self.live["surface"] += 1
        reference = self.object(("surface", values["IOSurfaceAllocSize"]))
        self._memory[reference] = bytearray(values["IOSurfaceAllocSize"])
        return reference

    def on_IOSurfaceGetBaseAddress(self, surface):  # noqa: N802
        return surface

    def on_IOSurfaceLock(self, surface, options, seed):  # noqa: N802
        self.live["lock"] += 1
        return self.answers.get("IOSurfaceLock", 0)

    def on_IOSurfaceUnlock(self, surface, options, seed):  # noqa: N802
        self.live["lock"] -= 1
        return 0

    def on_CFRelease(self, reference):  # noqa: N802
        self.live["surface"] -= 1

    def on_objectWithIOSurface_(self, receiver, owner, surface):  # noqa: N802
        return self.object(("wrapped", surface))

    def surfaces(self, array):
        """Memory of the surfaces in an NSArray of wrapped ones."""
        return [self._memory[self.value(item)[1]] for item in self.value(array)]

    # --- errors

    def fail(self, code, text):
        """An answer NO with an NSError; for selectors whose last argument is the error place."""

        def answer(*arguments):
            place = ctypes.c_void_p.from_address(arguments[-1].value)
            place.value = self.object(("error", "NSError", code, text))
            return 0

        return answer

    def on_localizedDescription(self, receiver, owner):  # noqa: N802
        return self.object(owner[3])

    def on_code(self, receiver, owner):
        return owner[2]

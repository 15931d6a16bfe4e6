"""The keys of a unit's parameters, declared once in the annotation of the field, and read and written from that.

    @dataclass(frozen=True)
    class PoolingParams(UnitParams):
        kind: Annotated[PoolingKind, ChoiceKey("Type", PoolingKind)]
        dilation: Annotated[tuple[int, int], PairKey("Dilation", optional=True)] = (1, 1)

A field that has a default may be missing in a file; an `optional` key is not written where the field has its default.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any, get_type_hints

import numpy as np

from openane.core.errors import FormatError, UnsupportedError
from openane.net.net import TensorShape, UnitParams
from openane.net.schema.fields import Fields, describe
from openane.net.schema.weights import ELEMENT_TYPES, WeightFiles, WeightWriter
from openane.numerics.fp16 import fp16_word, to_fp16

Keys = dict[str, Any]
EXTENT_LIMIT = 1 << 24


@dataclass(frozen=True)
class ReadContext:
    """What the keys of a unit may look at.

    Attributes:
        unit: the unit's dictionary.
        params: its `Params`, empty if there are none.
        bottoms: shapes of what it reads.
        weights: the network's weight files.
        values: the parameters read so far, by field.
        groups: dictionaries inside `params` that were opened, by key.
    """

    unit: Fields
    params: Fields
    bottoms: Sequence[TensorShape]
    weights: WeightFiles
    values: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Fields] = field(default_factory=dict)

    @property
    def bottom(self) -> TensorShape:
        """The first bottom's shape.

        Raises:
            FormatError: the unit reads nothing.
        """
        if not self.bottoms:
            raise FormatError("the unit reads nothing", where=self.unit.where, hint="Bottom is missing.")
        return self.bottoms[0]

    def group(self, key: str) -> Fields:
        """A dictionary inside the parameters, which several keys may share."""
        if key not in self.groups:
            self.groups[key] = self.params.fields(key)
        return self.groups[key]

    def array(self, fields: Fields, prefix: str, shape: Sequence[int]) -> np.ndarray:
        """The array that `prefix`Index, `prefix`Offset and `prefix`Type describe."""
        name = fields.text(f"{prefix}Type", "Float16")
        if name not in ELEMENT_TYPES:
            raise UnsupportedError(
                f"{prefix}Type is not supported",
                where=fields.where,
                value=describe(name),
                limit=", ".join(ELEMENT_TYPES),
            )
        index, offset = fields.integer(f"{prefix}Index", 0), fields.integer(f"{prefix}Offset", 0)
        return self.weights.array(index, offset, ELEMENT_TYPES[name], shape)


def choose(fields: Fields, key: str, kinds: type[Enum], default: Enum | None = None) -> Any:
    """The member of `kinds` whose value the text is.

    Raises:
        UnsupportedError: there is none.
    """
    name = fields.text(key, default.value if default else None)
    for kind in kinds:
        if kind.value == name:
            return kind
    raise UnsupportedError(
        f"{key} is not known",
        where=fields.where,
        value=describe(name),
        limit=", ".join(kind.value for kind in kinds),
    )


def stored(array: np.ndarray, prefix: str, writer: WeightWriter) -> Keys:
    """The three keys of an array, whose elements go to the weight file."""
    name, offset = writer.add(array)
    return {f"{prefix}Index": 0, f"{prefix}Offset": offset, f"{prefix}Type": name}


class ParameterKeys(ABC):
    """The keys of one parameter."""

    @abstractmethod
    def read(self, context: ReadContext, default: Any) -> Any:
        """The value in a file; `default` is that of the field, None where it has none.

        Raises:
            FormatError, UnsupportedError: the keys hold no valid value.
        """

    @abstractmethod
    def write(self, value: Any, default: Any, unit: UnitParams, writer: WeightWriter) -> Keys:
        """The keys that state `value` of `unit`."""


@dataclass(frozen=True)
class _SingleKey(ParameterKeys):
    """A parameter of one key."""

    key: str
    optional: bool = field(default=False, kw_only=True)

    def write(self, value: Any, default: Any, unit: UnitParams, writer: WeightWriter) -> Keys:
        return {} if self.optional and value == default else {self.key: self.written(value)}

    def written(self, value: Any) -> Any:
        """The value as the property list holds it."""
        return value


@dataclass(frozen=True)
class IntegerKey(_SingleKey):
    """An integer from `least` on; `absent` is what a missing key means where the field has no default."""

    least: int = 0
    absent: int | None = None

    def read(self, context: ReadContext, default: Any) -> int:
        absent = default if default is not None else self.absent
        return context.params.integer(self.key, absent, least=self.least, most=EXTENT_LIMIT)


@dataclass(frozen=True)
class PairKey(_SingleKey):
    """Two integers (x, y) from `least` on."""

    least: int = 1

    def read(self, context: ReadContext, default: Any) -> tuple[int, int]:
        return context.params.pair(self.key, default, least=self.least)

    def written(self, value: Any) -> list[int]:
        return list(value)


@dataclass(frozen=True)
class FlagKey(_SingleKey):
    """A boolean; `inverted` where the key states the opposite of the field."""

    inverted: bool = False

    def read(self, context: ReadContext, default: Any) -> bool:
        return context.params.flag(self.key) != self.inverted

    def written(self, value: Any) -> bool:
        return bool(value) != self.inverted


@dataclass(frozen=True)
class NumberKey(_SingleKey):
    """A real number."""

    def read(self, context: ReadContext, default: Any) -> float:
        return context.params.number(self.key, default)

    def written(self, value: Any) -> float:
        return float(value)


@dataclass(frozen=True)
class HalfKey(_SingleKey):
    """An fp16 number, stored as the integer of its 16 bits."""

    def read(self, context: ReadContext, default: Any) -> float:
        return context.params.half_bits(self.key, default)

    def written(self, value: Any) -> int:
        return fp16_word(float(value))


@dataclass(frozen=True)
class ChoiceKey(_SingleKey):
    """A member of an enumeration, by its value."""

    kinds: type[Enum]

    def read(self, context: ReadContext, default: Any) -> Any:
        return choose(context.params, self.key, self.kinds, default)

    def written(self, value: Any) -> Any:
        return value.value


@dataclass(frozen=True)
class WordKey(_SingleKey):
    """A boolean that is spelled as one of two words: (false, true)."""

    words: tuple[str, str]

    def read(self, context: ReadContext, default: Any) -> bool:
        word = context.params.text(self.key, self.words[bool(default)])
        if word not in self.words:
            raise UnsupportedError(
                f"{self.key} is not known",
                where=context.params.where,
                value=describe(word),
                limit=", ".join(self.words),
            )
        return word == self.words[True]

    def written(self, value: Any) -> str:
        return self.words[bool(value)]


@dataclass(frozen=True)
class SubsetKey(_SingleKey):
    """Some members of an enumeration, by their values."""

    kinds: type[Enum]

    def read(self, context: ReadContext, default: Any) -> frozenset[Any]:
        names = context.params.texts(self.key, single=True)
        known = {kind.value: kind for kind in self.kinds}
        if not names or not set(names) <= set(known):
            raise FormatError(
                f"{self.key} is wrong",
                where=context.params.where,
                value=describe(context.params.get(self.key)),
                limit=f"some of {', '.join(known)}",
            )
        return frozenset(known[name] for name in names)

    def written(self, value: Any) -> list[Any]:
        return [kind.value for kind in self.kinds if kind in value]


@dataclass(frozen=True)
class PermutationKey(_SingleKey):
    """All members of an enumeration in an order; the field holds their positions in the enumeration."""

    kinds: type[Enum]

    def read(self, context: ReadContext, default: Any) -> tuple[int, ...]:
        names, order = context.params.texts(self.key), [kind.value for kind in self.kinds]
        if sorted(names) != sorted(order):
            raise FormatError(f"{self.key} must name all five once", where=context.params.where)
        return tuple(order.index(name) for name in names)

    def written(self, value: Any) -> list[Any]:
        order = [kind.value for kind in self.kinds]
        return [order[position] for position in value]


@dataclass(frozen=True)
class TableKey(_SingleKey):
    """One dictionary per dimension, with an integer for each of `columns`: the value, a tuple of several."""

    kinds: type[Enum]
    columns: tuple[str, ...]
    least: int

    def read(self, context: ReadContext, default: Any) -> dict[Any, Any]:
        entries, where = context.params.get(self.key), context.params.where
        if not isinstance(entries, list) or len(entries) > 5:
            raise FormatError(
                f"{self.key} is wrong", where=where, value=describe(entries), limit="at most 5 dictionaries"
            )
        table: dict[Any, Any] = {}
        for entry in entries:
            fields = Fields(entry, f"{where}: {self.key}")
            dimension = choose(fields, "Dimension", self.kinds)
            if dimension in table:
                raise FormatError(f"{self.key} names {dimension.value} twice", where=where)
            row = tuple(fields.integer(column, least=self.least, most=EXTENT_LIMIT) for column in self.columns)
            table[dimension] = row if len(row) > 1 else row[0]
            fields.finish()
        return table

    def written(self, value: Any) -> list[Keys]:
        rows = {dimension: row if len(self.columns) > 1 else (row,) for dimension, row in value.items()}
        return [{"Dimension": d.value, **dict(zip(self.columns, row, strict=True))} for d, row in rows.items()]


@dataclass(frozen=True)
class IntegerKeys(ParameterKeys):
    """Several integers under keys of their own.

    Attributes:
        keys: in order.
        make, take: between the integers and the value of the field.
        absent: what a missing key means, None where none may be missing.
        least: of each.
        optional: write nothing where all are `absent`.
    """

    keys: tuple[str, ...]
    make: Callable[[list[int]], Any] = tuple
    take: Callable[[Any], Sequence[int]] = tuple
    absent: int | None = None
    least: int = 0
    optional: bool = False

    def integers(self, fields: Fields) -> list[int]:
        """The integers in a file."""
        return [fields.integer(key, self.absent, least=self.least, most=EXTENT_LIMIT) for key in self.keys]

    def read(self, context: ReadContext, default: Any) -> Any:
        return self.make(self.integers(context.params))

    def write(self, value: Any, default: Any, unit: UnitParams, writer: WeightWriter) -> Keys:
        numbers = self.take(value)
        left_out = self.optional and all(number == self.absent for number in numbers)
        return {} if left_out else dict(zip(self.keys, numbers, strict=True))


@dataclass(frozen=True)
class ArrayKeys(ParameterKeys):
    """An array in a weight file.

    Attributes:
        prefix: of the keys Index, Offset and Type.
        shape: in a file, from what is known of the unit; None where the unit has no such array.
        stated: further keys that follow from the array.
    """

    prefix: str
    shape: Callable[[ReadContext], Sequence[int] | None]
    stated: Callable[[np.ndarray], Keys] = lambda array: {}

    def read(self, context: ReadContext, default: Any) -> np.ndarray | None:
        shape = self.shape(context)
        return None if shape is None else context.array(context.params, self.prefix, shape)

    def write(self, value: Any, default: Any, unit: UnitParams, writer: WeightWriter) -> Keys:
        return {} if value is None else self.stated(value) | stored(value, self.prefix, writer)


@dataclass(frozen=True)
class ScalarOrVectorKeys(ParameterKeys):
    """A number under `prefix`Scalar, or one per channel in the weight file, under keys of a group.

    A number that has no effect is left out where another parameter of the unit is a vector.
    """

    prefix: str
    group: str

    def read(self, context: ReadContext, default: Any) -> Any:
        number = context.params.half_bits(f"{self.prefix}Scalar", default)
        if not context.params.has(self.group):
            return number
        group = context.group(self.group)
        if not group.has(f"{self.prefix}Count"):
            return number
        return context.array(group, self.prefix, (group.integer(f"{self.prefix}Count", least=1),))

    def write(self, value: Any, default: Any, unit: UnitParams, writer: WeightWriter) -> Keys:
        if not np.ndim(value):
            vectors = any(np.ndim(other) for other in vars(unit).values())
            return {} if vectors and value == default else {f"{self.prefix}Scalar": fp16_word(float(value))}
        vector = np.asarray(value)
        short = to_fp16(vector)
        # Half precision is the form seen in files; Float32 only where it would lose something.
        vector = short if np.array_equal(short.astype(np.float64), vector) else vector
        return {self.group: {f"{self.prefix}Count": len(vector)} | stored(vector, self.prefix, writer)}


@lru_cache
def _declared(kind: type) -> tuple[tuple[str, ParameterKeys, Any], ...]:
    """Field, keys and default of each declared parameter."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    each: dataclasses.Field[Any]
    for each in dataclasses.fields(kind):
        keys = [item for item in getattr(hints[each.name], "__metadata__", ()) if isinstance(item, ParameterKeys)]
        if len(keys) != 1:
            raise TypeError(f"{kind.__name__}.{each.name} does not declare its keys once")
        found.append((each.name, keys[0], None if each.default is dataclasses.MISSING else each.default))
    return tuple(found)


def read_unit(kind: type[UnitParams], context: ReadContext) -> UnitParams:
    """The parameters of a unit, and nothing left over in the groups that were opened.

    Raises:
        FormatError, UnsupportedError: they cannot be read.
    """
    for name, keys, default in _declared(kind):  # type: ignore[arg-type]  # a class is hashable
        context.values[name] = keys.read(context, default)
    for group in context.groups.values():
        group.finish()
    return kind(**context.values)


def write_unit(unit: UnitParams, writer: WeightWriter) -> Keys:
    """The `Params` of a unit; arrays go to `writer`."""
    written: Keys = {}
    declared = _declared(type(unit))  # type: ignore[arg-type]  # a class is hashable
    # Arrays follow one another in the weight file as their keys do in the property list, which is sorted.
    for name, keys, default in sorted(declared, key=lambda each: getattr(each[1], "prefix", "")):
        for key, value in keys.write(getattr(unit, name), default, unit, writer).items():
            written[key] = written[key] | value if isinstance(value, dict) and key in written else value
    return written

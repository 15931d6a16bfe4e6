"""Level 2: a network of ANE units, the content of a net.plist and its weight files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from openane.core.errors import ModelError
from openane.core.origin import Origin
from openane.core.types import DType


@dataclass(frozen=True, slots=True)
class TensorShape:
    """Extents of a net tensor. The engine knows five dimensions: Batch, Depth, Channel, Height, Width."""

    batch: int = 1
    channels: int = 1
    height: int = 1
    width: int = 1
    depth: int = 1

    @property
    def ndchw(self) -> tuple[int, int, int, int, int]:
        """(N, D, C, H, W), the order of arrays in the reference evaluator."""
        return (self.batch, self.depth, self.channels, self.height, self.width)

    @classmethod
    def of(cls, ndchw: Sequence[int]) -> TensorShape:
        """The shape with extents (N, D, C, H, W)."""
        batch, depth, channels, height, width = ndchw
        return cls(batch, channels, height, width, depth)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.batch * self.depth * self.channels * self.height * self.width


class UnitParams:
    """Base of the parameter classes, one per unit type; subclasses are frozen dataclasses in `net.units`.

    A subclass is named after its `Type` (`ConvParams`) and says in its docstring what the unit computes on
    (N, D, C, H, W) tensors.
    """

    #: The `Type` string of the net.plist dictionary.
    plist_type: ClassVar[str] = ""

    #: Further values of `Type` that mean this unit.
    plist_aliases: ClassVar[tuple[str, ...]] = ()

    #: Whether a net.plist states the number of channels of the result.
    states_channels: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Name in listings and messages: the `Type`, or the name of the class if a net.plist has no such unit."""
        return self.plist_type or type(self).__name__

    @property
    def plist_name(self) -> str:
        """The `Type` under which this unit is written."""
        return self.plist_type

    def infer(self, bottoms: Sequence[TensorShape]) -> TensorShape:
        """The shape of the result.

        Raises:
            ModelError: the inputs do not fit the unit.
        """
        raise NotImplementedError

    def evaluate(self, bottoms: Sequence[np.ndarray]) -> np.ndarray:
        """The reference: (N, D, C, H, W) arrays in, one out, in the precision of the inputs."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of the network.

    Attributes:
        name: unique among units and inputs; also the name of its result.
        params: what it computes.
        bottoms: names of the units or inputs it reads.
        origin: the user's layers.
        dtype: element type of the result.
    """

    name: str
    params: UnitParams
    bottoms: tuple[str, ...]
    origin: Origin = field(default=Origin(), compare=False)
    dtype: DType = DType.FLOAT16


@dataclass(frozen=True)
class Net:
    """Units in execution order between named inputs and outputs.

    Attributes:
        name: of the network ("net").
        inputs: name -> shape, in order.
        outputs: output name -> name of the unit or input it shows, in order.
        units: every unit after those it reads.
        input_dtypes: element type of inputs that are not fp16.
        bindings: how the caller's tensors map to inputs and outputs: name -> (logical shape, element type). A name
            without a binding is seen by the caller as NCHW (NDCHW when depth is not 1). Logical and engine tensors
            hold the same elements in the same row-major order.
        notes: choices that were made when the network came to be, by name; files keep them, nothing depends on them.
    """

    name: str
    inputs: Mapping[str, TensorShape]
    outputs: Mapping[str, str]
    units: tuple[Unit, ...]
    input_dtypes: Mapping[str, DType] = field(default_factory=dict)
    bindings: Mapping[str, tuple[tuple[int, ...], DType]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict, compare=False)

    @cached_property
    def shapes(self) -> dict[str, TensorShape]:
        """The shape of every input and unit.

        Raises:
            ModelError: a name is used before it is defined or defined twice, or a unit refuses its inputs.
        """
        shapes = dict(self.inputs)
        for unit in self.units:
            where = f"{self.name}: unit {unit.name!r} ({unit.params.plist_type})"
            for name in unit.bottoms:
                if name not in shapes:
                    raise ModelError(f"reads {name!r}, which nothing before it defines", where=where)
            if unit.name in shapes:
                raise ModelError(f"the name {unit.name!r} is used twice", where=where)
            try:
                shapes[unit.name] = unit.params.infer([shapes[name] for name in unit.bottoms])
            except ModelError as error:
                raise error.at(where) from error
        for name, source in self.outputs.items():
            if source not in shapes:
                raise ModelError(f"output {name!r} shows {source!r}, which nothing defines", where=self.name)
        return shapes

    def evaluate(self, inputs: Mapping[str, np.ndarray], *, keep: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """The reference: runs every unit with numpy in the precision of the inputs.

        Args:
            inputs: (N, D, C, H, W) arrays, or any array with the same elements in the same order.
            keep: names of units to return next to the outputs.

        Returns:
            (N, D, C, H, W) arrays by output name and unit name.
        """
        wanted = {*self.outputs.values(), *keep}
        found = {name: np.asarray(inputs[name]).reshape(self.inputs[name].ndchw) for name in wanted & {*self.inputs}}
        found.update((unit.name, result) for unit, _, result in self.trace(inputs) if unit.name in wanted)
        results = {name: found[source] for name, source in self.outputs.items()}
        results.update((name, found[name]) for name in keep)
        return results

    def trace(self, inputs: Mapping[str, np.ndarray]) -> Iterator[tuple[Unit, list[np.ndarray], np.ndarray]]:
        """Every unit with what it reads and its result, as `evaluate` computes them; a value goes after its last use.

        Args:
            inputs: as for `evaluate`.
        """
        values = {name: np.asarray(inputs[name]).reshape(shape.ndchw) for name, shape in self.inputs.items()}
        last_use = {name: i for i, unit in enumerate(self.units) for name in unit.bottoms}
        for i, unit in enumerate(self.units):
            bottoms = [values[name] for name in unit.bottoms]
            values[unit.name] = unit.params.evaluate(bottoms)
            yield unit, bottoms, values[unit.name]
            for name in unit.bottoms:
                if last_use[name] == i:
                    values.pop(name, None)

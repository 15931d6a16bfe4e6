"""A band of a normalization, and the steps that all of its forms share."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openane.backend.ir.plan import PeArithmetic, PeMode, PeWork
from openane.backend.units.multi_task import Band


@dataclass(frozen=True, slots=True)
class NormBand(Band):
    """A band of a normalization.

    Attributes:
        epsilon: added to the variance.
        center: the mean is subtracted.
    """

    epsilon: float = 0.0
    center: bool = True

    def mean(self, count: int) -> PeWork:
        """The mean of `count` elements."""
        return PeWork(PeMode.REDUCTION, final_scale=1 / count)

    def variance(self, count: int) -> PeWork:
        """1 / deviation around a mean that is the first source."""
        return replace(self._inverse_root(PeMode.VARIANCE, count), negate_first=True)

    def mean_square(self, count: int) -> PeWork:
        """1 / sqrt(mean of squares + epsilon)."""
        return self._inverse_root(PeMode.REDUCTION, count)

    def _inverse_root(self, mode: PeMode, count: int) -> PeWork:
        """1 / sqrt(final_scale * sum of squares + epsilon), of two sources and of one (14 of 14)."""
        square = PeArithmetic.SQUARE_SUM
        return PeWork(mode, square, reciprocal_root=True, epsilon=self.epsilon, final_scale=1 / count)

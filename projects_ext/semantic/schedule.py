"""The polynomial learning-rate schedule of semantic segmentation."""

from fvcore.common.param_scheduler import ParamScheduler


class PolynomialDecay(ParamScheduler):
    """``end + (start - end) (1 - t)^power`` at a fraction t of the run.

    The "poly" policy of Liu et al., "ParseNet" (arXiv 1506.04579), with a floor.

    Args:
        power: 0.9 almost everywhere; 1 is a straight line.
        start_value, end_value: multiples of the optimiser's rate at the start and at the end.

    Raises:
        ValueError: a power that is not positive.
    """

    def __init__(
        self, power: float = 0.9, start_value: float = 1.0, end_value: float = 0.0
    ) -> None:
        if power <= 0:
            raise ValueError(f"the power of a polynomial schedule is {power}: give a positive one")
        self.power, self.start_value, self.end_value = power, start_value, end_value

    def __call__(self, where: float) -> float:
        """The multiple at a fraction ``where`` of the run, from 0 to 1."""
        remaining = max(1.0 - where, 0.0) ** self.power
        return self.end_value + (self.start_value - self.end_value) * remaining

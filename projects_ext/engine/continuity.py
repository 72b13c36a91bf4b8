"""What a resumed run needs besides model and optimiser to be the same run, to the bit."""

import logging
import random
from typing import Any

import numpy as np
import torch

from detectron2.engine import HookBase
from detectron2.utils import comm

logger = logging.getLogger("detectron2.projects_ext")


class Continuity(HookBase):
    """Keeps the random states and the place in the data in the checkpoints.

    Random numbers that hooks draw (an evaluation, say) do not count: the next iteration begins with
    the states in which the last one ended. So a run that evaluates more often is still the same.

    Register it before the hooks that save and evaluate.

    With several processes a checkpoint holds the first one's states; after a resume the others
    have new ones, which depend on those alone.

    Args:
        loader: the training loader; one with ``state_dict`` and ``load_state_dict`` goes on where
            it was, any other one from its beginning.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader if hasattr(loader, "load_state_dict") else None
        self._states: dict[str, Any] | None = None
        self._place: dict[str, Any] | None = None

    def before_step(self) -> None:
        """Go on with the random numbers from where the last iteration, or the saved run, ended."""
        if self._states is not None:
            set_random_states(self._states)

    def after_step(self) -> None:
        """Remember how this iteration ended."""
        self._states = get_random_states()
        if self._loader is not None:
            self._place = self._loader.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """``random``: the states; ``loader``: its state, if it has one."""
        state = {"random": self._states or get_random_states()}
        if self._loader is not None:
            state["loader"] = self._place or self._loader.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self._states = state["random"]
        if comm.get_rank() > 0:
            self._states = _other_states(state["random"], comm.get_rank())
        if self._loader is None or "loader" not in state:
            logger.info("The training loader cannot be resumed: its images come in a new order")
        else:
            self._loader.load_state_dict(state["loader"])
            self._place = self._loader.state_dict()


def get_random_states() -> dict[str, Any]:
    """The states of Python, NumPy, torch and (where one is used) this process's GPU."""
    numpy_state: Any = np.random.get_state()
    name, keys, position, has_gauss, gauss = numpy_state
    states = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Put back what :func:`get_random_states` returned."""
    random.setstate(_tuples(states["python"]))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _other_states(states: dict[str, Any], rank: int) -> dict[str, Any]:
    """States for another process, a function of the given ones and its rank."""
    words = np.frombuffer(states["torch"].cpu().numpy().tobytes(), dtype=np.uint8)
    seed = int(np.random.SeedSequence([*words.tolist(), rank]).generate_state(1)[0])
    kept = get_random_states()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.manual_seed(seed)
    try:
        return get_random_states()
    finally:
        set_random_states(kept)

"""Batches of elements that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import BatchSampler, Sampler


class GroupedBatchSampler(BatchSampler):
    """Batches of indices of one group each, in the order in which they become full.

    Args:
        sampler: gives indices.
        group_ids: of each index, the number of its group.
        batch_size: indices per batch. Of a group's last indices a smaller batch is not made.

    Raises:
        ValueError: ``sampler`` is not a torch ``Sampler``.
    """

    def __init__(
        self, sampler: Sampler[int], group_ids: Sequence[int] | np.ndarray, batch_size: int
    ) -> None:
        if not isinstance(sampler, Sampler):
            raise ValueError(f"sampler has to be a torch Sampler, not a {type(sampler).__name__}.")
        self.sampler, self.batch_size = sampler, batch_size
        self.group_ids = np.asarray(group_ids)
        assert self.group_ids.ndim == 1, "group_ids has to be one number per element."
        # Kept from one pass to the next, so that no index is lost.
        self.buffer_per_group: dict[int, list[int]] = {
            group: [] for group in np.unique(self.group_ids).tolist()
        }

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of one pass of the sampler."""
        for index in self.sampler:
            group = int(self.group_ids[index])
            self.buffer_per_group[group].append(index)
            if len(self.buffer_per_group[group]) == self.batch_size:
                batch, self.buffer_per_group[group] = self.buffer_per_group[group], []
                yield batch

    def __len__(self) -> int:
        """Raises NotImplementedError: the number of batches follows from the order."""
        raise NotImplementedError("A GroupedBatchSampler does not know how many batches it gives.")

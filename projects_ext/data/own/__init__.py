"""A data set of the user's own in any known format: read, split, joined, checked, registered."""

from .dataset import OwnData, Wanted, own_data
from .registration import register_own_data, wanted_data

__all__ = ["OwnData", "Wanted", "own_data", "register_own_data", "wanted_data"]

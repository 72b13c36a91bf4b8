"""Look at a data set: the program behind ``tools/visualize_data.py``."""

from .main import main

__all__ = ["main"]

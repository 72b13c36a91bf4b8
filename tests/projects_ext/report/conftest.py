"""One browser for all tests of pages."""

from .test_browser import browser

__all__ = ["browser"]

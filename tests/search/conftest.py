"""Fixtures for the tests of the search."""

from tests.rest import client

__all__ = ["client"]

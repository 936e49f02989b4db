"""Tells failures of the database itself from those of the program, and what the driver said of them."""

import re
from typing import Final

from sqlalchemy.exc import DBAPIError

_DRIVER_NAMES: Final = re.compile(r"^\([\w.]+\)\s*(<class '[\w.]+'>:\s*)?")
_FULL: Final = ("disk is full", "No space left on device")
_SQLITE: Final = (*_FULL, "disk I/O error", "database is locked", "readonly database", "unable to open")
_POSTGRES: Final = frozenset({"08", "53", "57", "58"})
"""Classes of SQLSTATE: connections, resources, somebody's intervention, the system."""


def is_outage(error: Exception) -> bool:
    """Whether a disk is full, a server gone or a file locked, so that the program is not to blame."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, OSError)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return error.connection_invalidated or state[:2] in _POSTGRES
    return error.connection_invalidated or any(words in str(error.orig) for words in _SQLITE)


def reason_of(error: Exception) -> str:
    """The first line of what the driver said, without the names of classes that are put before it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = _DRIVER_NAMES.sub("", str(cause.__cause__ or cause).strip()).splitlines()
    return lines[0] if lines else type(cause).__name__


def is_full(error: Exception) -> bool:
    """Whether the database's disk is full."""
    return any(words in reason_of(error) for words in _FULL)

"""Waits for a state instead of a time."""

import time
from collections.abc import Callable
from typing import Any


def until(check: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    """What `check` gives as soon as it gives something true.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found

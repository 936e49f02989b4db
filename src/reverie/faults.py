"""Crash points: how fault tests make the server die at a named moment."""

import itertools
import os
import signal
from collections.abc import Callable


def crash_point(where: str | None) -> Callable[[str], None]:
    """Return the probe that the loop calls at each named moment.

    `where` is `name` or `name:n`: the process kills itself, without any clean-up, when it gets
    there for the n-th time. None: the probe does nothing.
    """
    if not where:
        return lambda _name: None
    name, _, count = where.partition(":")
    passes = itertools.count(1)
    wanted = int(count or 1)

    def probe(reached: str) -> None:
        if reached == name and next(passes) == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return probe

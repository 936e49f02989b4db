"""Ends the runs of processes that died, so that nobody waits for them."""

from reverie.background.rounds import Rounds
from reverie.runs.engine import RunEngine


def sweep(engine: RunEngine, interval_s: float) -> Rounds:
    """Look for dead processes every `interval_s`.

    A server alone on its database needs none: what its predecessor left, it ends at its start.
    """

    async def work() -> int:
        return len(await engine.bury_dead())

    return Rounds("sweep", work, interval_s)

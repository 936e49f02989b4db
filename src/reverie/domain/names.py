"""Names for agents whose maker gave them none."""

from random import Random
from typing import Final

_FIRST: Final = (
    "Amber", "Bright", "Calm", "Clever", "Crimson", "Daring", "Dusky", "Eager", "Early", "Gentle", "Golden", "Hidden",
    "Humble", "Ivory", "Jolly", "Keen", "Lively", "Lunar", "Mellow", "Misty", "Nimble", "Patient", "Quiet", "Rapid",
    "Rustic", "Silver", "Steady", "Sunny", "Tidy", "Velvet", "Wandering", "Winter",
)  # fmt: skip
_SECOND: Final = (
    "Alder", "Badger", "Beacon", "Brook", "Cedar", "Comet", "Condor", "Dune", "Ember", "Falcon", "Fern", "Fjord",
    "Grove", "Harbor", "Heron", "Island", "Jasmine", "Lantern", "Lynx", "Maple", "Meadow", "Otter", "Pebble", "Plover",
    "Quartz", "Raven", "River", "Sparrow", "Thistle", "Valley", "Willow", "Zephyr",
)  # fmt: skip


def make_name(random: Random) -> str:
    """A name such as `QuietHeron`; it need not be unique."""
    return random.choice(_FIRST) + random.choice(_SECOND)

"""What this process holds in the database and nobody sees to, because the database went away meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from reverie.domain.errors import DatabaseUnavailable
from reverie.domain.ids import RunId
from reverie.domain.run import Run


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A run that could not be ended or handed on."""

    fence: int
    cancelled: bool = False


@dataclass(slots=True)
class Left:
    """Runs and places in line, for the lease to settle as soon as the database is back."""

    runs: dict[RunId, LeftRun] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.runs or self.places)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self.runs

    def note(self, run: Run) -> None:
        """A run is taken."""
        self.runs[run.id] = LeftRun(run.fence)

    def copy(self) -> "Left":
        """What is left now."""
        return Left(dict(self.runs), set(self.places))

    def drop(self, settled: "Left") -> None:
        """Forget what was settled."""
        for run_id in settled.runs:
            self.runs.pop(run_id, None)
        self.places -= settled.places

    @contextmanager
    def unless_heard(self) -> Iterator["Left"]:
        """Where a transaction notes what it takes: that is left if nobody hears whether it was committed."""
        noted = Left()
        try:
            yield noted
        except DatabaseUnavailable:
            self.runs.update(noted.runs)
            self.places |= noted.places
            raise

"""Calls that wait for a person or a client program, wherever they do."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reverie.domain.content import ToolCall
from reverie.domain.json import JsonObject
from reverie.domain.message import Message

_LONGEST: Final = timedelta(days=3650)
"""Longer than anybody waits, and short enough to be added to any date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """A request that still waits for an answer."""

    request: Message
    calls: tuple[ToolCall, ...]
    """Those that nobody has answered, in the model's order."""
    agent_name: str
    timeout_s: float | None
    """After how many seconds the agent wants them denied, 0: never; None: as the server has it."""

    def expires_at(self, default_s: float) -> datetime | None:
        """When the calls are denied if nobody answers; None: never. `default_s` is the server's own time, 0: none."""
        wanted = default_s if self.timeout_s is None else self.timeout_s
        if not wanted:
            return None
        return self.request.created_at + timedelta(seconds=min(wanted, _LONGEST.total_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFilter:
    """Which requests a list holds; every given condition must hold."""

    agent_id: str | None = None
    conversation_id: str | None = None
    project_id: str | None = None


def timeout_of(metadata: JsonObject) -> float | None:
    """The `approval_timeout_s` of an agent's metadata, if there is one that is a time."""
    wish = metadata.get("approval_timeout_s")
    if isinstance(wish, bool) or not isinstance(wish, int | float) or not math.isfinite(wish) or wish < 0:
        return None
    return float(wish)

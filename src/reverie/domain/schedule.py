"""Schedules: messages that are sent to an agent by themselves, once or again and again."""

from dataclasses import dataclass
from datetime import datetime

from reverie.domain.ids import AgentId, OrganizationId, RunId, ScheduleId
from reverie.domain.inputs import SayInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """At one moment."""

    scheduled_at: float
    """As the client said it: milliseconds since 1970, or seconds where milliseconds would lie before March 1973."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurring:
    """At every moment that fits an expression of cron."""

    cron_expression: str
    """As the client said it; it may begin with `CRON_TZ=Area/City`."""


Timing = Once | Recurring


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Messages for an agent, and when they are due.

    Source: `ScheduleRetrieveResponse` of the client SDK, read 2026-11.
    """

    id: ScheduleId
    organization_id: OrganizationId
    agent_id: AgentId
    timing: Timing
    timezone: str
    """What `cron_expression` is read in: the zone it names, or the agent's when the schedule was made."""
    inputs: tuple[SayInput, ...]
    max_steps: int | None = None
    callback_url: str | None = None
    include_return_message_types: tuple[str, ...] | None = None
    next_at: datetime | None
    """When it is due next; None: never again."""
    last_due_at: datetime | None = None
    """The due time that was dealt with last."""
    last_run_id: RunId | None = None
    """The run that was started for it; None: none was, for `last_error`."""
    last_error: str | None = None
    created_at: datetime
    created_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDraft:
    """A schedule to be made."""

    timing: Timing
    inputs: tuple[SayInput, ...]
    max_steps: int | None = None
    callback_url: str | None = None
    include_return_message_types: tuple[str, ...] | None = None

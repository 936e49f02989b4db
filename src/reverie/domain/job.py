"""Jobs: runs and batches of requests under the API's old name.

Source: `Job`, `BatchJob`, API description, read 2026-11.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from reverie.domain.ids import AgentId, BatchId, OrganizationId, RunId
from reverie.domain.inputs import Request
from reverie.domain.json import JsonObject
from reverie.domain.run import Run
from reverie.domain.stop_reason import RunStatus

MOST_REQUESTS: Final = 10_000
"""Requests in one batch."""
SHOWN_ERRORS: Final = 20
"""Requests of a batch that were never accepted, of which the batch tells."""


class BatchStatus(StrEnum):
    """How far a batch is."""

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    """Every request has ended, and at least one well."""
    FAILED = "failed"
    """Every request has ended, and none well."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Requests to many agents, each of which becomes a background run."""

    id: BatchId
    organization_id: OrganizationId
    status: BatchStatus = BatchStatus.CREATED
    runs_before: int
    """Place of the newest run when it was made: jobs are runs and batches in one order."""
    cancel_requested: bool = False
    callback_url: str | None = None
    callback_sent_at: datetime | None = None
    callback_status_code: int | None = None
    callback_error: str | None = None
    created_at: datetime
    completed_at: datetime | None = None
    created_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchItem:
    """One request of a batch."""

    batch_id: BatchId
    place: int
    agent_id: AgentId
    request: Request
    run_id: RunId | None = None
    """Once it was accepted."""
    error: str | None = None
    """Why it never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDetails:
    """A batch with what became of its requests."""

    batch: Batch
    counts: Mapping[str, int] = field(default_factory=dict)
    """By the run's status; `created` for those not accepted yet, `failed` for those that never were."""
    errors: tuple[JsonObject, ...] = ()

    @property
    def status(self) -> BatchStatus:
        """As stored, once it has ended; else by its requests."""
        if self.batch.completed_at is not None:
            return self.batch.status
        waiting = self.counts.get(RunStatus.CREATED, 0)
        return BatchStatus.CREATED if waiting == sum(self.counts.values()) else BatchStatus.RUNNING

    @property
    def outcome(self) -> BatchStatus | None:
        """How it ended; None while a request has not."""
        if any(self.counts.get(status, 0) for status in RunStatus if not status.is_final):
            return None
        if self.batch.cancel_requested:
            return BatchStatus.CANCELLED
        return BatchStatus.COMPLETED if self.counts.get(RunStatus.COMPLETED) else BatchStatus.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDraft:
    """A batch to be made."""

    requests: tuple[tuple[AgentId, Request], ...]
    callback_url: str | None = None


Job: TypeAlias = Run | BatchDetails

"""What a run that ends leaves behind besides its own row: a free conversation, a note on the agent, its last step."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from reverie.domain.ids import ConversationId, RunId
from reverie.domain.run import Run, Step
from reverie.domain.stop_reason import StopReason
from reverie.storage import bells, runs
from reverie.storage.schema import agents, conversations, steps, waiting
from reverie.storage.together import Together, inserted, named

_freed = (
    update(conversations)
    .where(conversations.c.id == bindparam("conversation"), conversations.c.active_run_id == bindparam("run"))
    .values(active_run_id=None, last_message_at=bindparam("now"))
)
_waits = select(select(waiting.c.seq).where(waiting.c.conversation_id == bindparam("conversation")).exists())
_noted = (
    update(agents)
    .where(agents.c.id == bindparam("agent"))
    .values(
        named(
            agents,
            {"last_run_completion": "now", "last_run_duration_ms": "duration_ms", "last_stop_reason": "stop_reason"},
        )
    )
)
_release = Together(freed=_freed, waits=_waits)
_leave = Together(freed=_freed, waits=_waits, noted=_noted)
_leave_with_step = Together(freed=_freed, waits=_waits, noted=_noted, step=inserted(steps, "step_"))


def release(c: Connection, conversation_id: ConversationId, run_id: RunId, now: datetime) -> bool:
    """Let the next run in, after the row of `run_id` was written; tells whether one waits for it, as does a bell.

    Nothing happens when `run_id` is not the active one.
    """
    done = _release.run(c, {"conversation": conversation_id, "run": run_id, "now": now})
    return _told(c, conversation_id, waits=bool(done["waits"]))


def leave(
    c: Connection, run: Run, *, now: datetime, duration_ms: int, stop_reason: StopReason, step: Step | None = None
) -> bool:
    """The same, with a note on the agent of how its last run ended, and the run's last step if it is not stored yet."""
    given = {
        "conversation": run.conversation_id,
        "run": run.id,
        "agent": run.agent_id,
        "now": now,
        "duration_ms": duration_ms,
        "stop_reason": stop_reason,
    }
    if step is None:
        done = _leave.run(c, given)
    else:
        done = _leave_with_step.run(c, {**given, **runs.step_values(step, "step_")})
    return _told(c, run.conversation_id, waits=bool(done["waits"]))


def _told(c: Connection, conversation_id: ConversationId, *, waits: bool) -> bool:
    if waits:
        bells.ring(c, "line", [conversation_id])
    return waits

"""What a run that ends leaves behind besides its own row: a free conversation, a note on the agent."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from reverie.domain.ids import ConversationId, RunId
from reverie.domain.run import Run
from reverie.domain.stop_reason import StopReason
from reverie.storage import bells, waiting
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import agents, conversations
from reverie.storage.schema import waiting as waiting_table
from reverie.storage.together import Together, later, named

_freed = (
    update(conversations)
    .where(conversations.c.id == bindparam("conversation"), conversations.c.active_run_id == bindparam("run"))
    .values(active_run_id=None, last_message_at=bindparam("now"))
)
_waits = select(
    select(waiting_table.c.seq).where(waiting_table.c.conversation_id == bindparam("conversation")).exists()
)
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


def release(c: Connection, conversation_id: ConversationId, run_id: RunId, now: datetime) -> bool:
    """Let the next run in, after the row of `run_id` was written; tells whether one waits for it, as does a bell.

    Nothing happens when `run_id` is not the active one.
    """
    done = _release.run(c, {"conversation": conversation_id, "run": run_id, "now": now})
    return _told(c, conversation_id, waits=bool(done["waits"]))


def leave(c: Connection, run: Run, *, now: datetime, duration_ms: int, stop_reason: StopReason) -> bool | None:
    """Likewise, with a note on the agent of how its last run ended; tells whether another waits.

    None: that is to be looked at when all is committed, and nobody hears a bell before. To look within the
    transaction would take more journeys to the database than all that the end of a run writes.
    """
    given = {"conversation": run.conversation_id, "run": run.id, "now": now}
    later(c, _freed, given)
    later(c, _noted, {"agent": run.agent_id, "now": now, "duration_ms": duration_ms, "stop_reason": stop_reason})
    if dialect_of(c).writes_together():
        return None
    return waiting.first(c, run.conversation_id) is not None


def _told(c: Connection, conversation_id: ConversationId, *, waits: bool) -> bool:
    if waits:
        bells.ring(c, "line", [conversation_id])
    return waits

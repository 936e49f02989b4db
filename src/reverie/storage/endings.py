"""What a run that ends leaves behind besides its own row: a free conversation, a note on the agent.

On PostgreSQL a trigger on conversations rings for those who wait for one that is free. It looks when all that the
statement writes is written, so it sees whoever held the end off (`runs.hold_end_off`) until he stood in line.
"""

from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from reverie.domain.ids import ConversationId, RunId
from reverie.domain.run import Run
from reverie.domain.stop_reason import StopReason
from reverie.storage import waiting
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import agents, conversations
from reverie.storage.together import later, named

_freed = (
    update(conversations)
    .where(conversations.c.id == bindparam("conversation"), conversations.c.active_run_id == bindparam("run"))
    .values(active_run_id=None, last_message_at=bindparam("now"))
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


def release(c: Connection, conversation_id: ConversationId, run_id: RunId, now: datetime) -> None:
    """Let the next run in, after the row of `run_id` was written. Nothing happens when it is not the active one."""
    later(c, _freed, {"conversation": conversation_id, "run": run_id, "now": now})


def leave(c: Connection, run: Run, *, now: datetime, duration_ms: int, stop_reason: StopReason) -> bool | None:
    """Likewise, with a note on the agent of how its last run ended.

    Tells whether somebody waits; None: whoever does hears a bell.
    """
    release(c, run.conversation_id, run.id, now)
    later(c, _noted, {"agent": run.agent_id, "now": now, "duration_ms": duration_ms, "stop_reason": stop_reason})
    return None if dialect_of(c).rings() else waiting.first(c, run.conversation_id) is not None

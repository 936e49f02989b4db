"""When sleeptime agents are due: turns are counted where they end, and reviews claimed where they begin."""

from typing import Final

from sqlalchemy import Connection, and_, false, func, or_, select, update

from reverie.domain.group import DEFAULT_BUFFER, Group, ManagerType, Review
from reverie.domain.ids import AgentId, ConversationId, MessageId, RunId
from reverie.domain.message import Message, MessageKind
from reverie.storage import groups, messages
from reverie.storage.dialect import dialect_of
from reverie.storage.schema import group_agents, group_turns, runs
from reverie.storage.schema import groups as group_rows
from reverie.storage.schema import messages as message_rows

_SAID: Final = (MessageKind.USER, MessageKind.ASSISTANT, MessageKind.TOOL_CALL, MessageKind.TOOL_RETURN)
_REVIEWED: Final = (*_SAID, MessageKind.SYSTEM, MessageKind.APPROVAL_REQUEST)


def count_turn(c: Connection, manager_agent_id: AgentId, conversation_id: ConversationId) -> None:
    """Count a turn that ends in this transaction, for everyone who looks after the agent's memory."""
    query = (
        select(group_rows, group_agents.c.agent_id)
        .join(group_agents, group_agents.c.group_id == group_rows.c.id)
        .where(
            group_rows.c.manager_agent_id == manager_agent_id,
            group_rows.c.manager_type.in_((ManagerType.SLEEPTIME, ManagerType.VOICE_SLEEPTIME)),
        )
    )
    for row in c.execute(query).all():
        if row.manager_type == ManagerType.VOICE_SLEEPTIME:
            most = row.max_message_buffer_length or DEFAULT_BUFFER[0]
            every = 1 if _length(c, conversation_id) > most else 0
        else:
            every = 1 if row.sleeptime_agent_frequency is None else row.sleeptime_agent_frequency
        statement = dialect_of(c).insert(group_turns)
        waited = group_turns.c.turns + 1 - group_turns.c.reviewed_turns >= every
        c.execute(
            statement.values(
                group_id=row.id,
                agent_id=row.agent_id,
                conversation_id=conversation_id,
                turns=1,
                reviewed_turns=0,
                due=every == 1,
            ).on_conflict_do_update(
                index_elements=["group_id", "agent_id", "conversation_id"],
                set_={
                    "turns": group_turns.c.turns + 1,
                    "due": or_(group_turns.c.due, waited) if every else group_turns.c.due,
                },
            )
        )


def due(c: Connection, limit: int) -> list[Review]:
    """Reviews that wait to be begun, of groups whose frequency is not 0 by now."""
    query = (
        select(group_turns, groups.processed_message.label("after"), group_rows.c.organization_id)
        .join(group_rows, group_rows.c.id == group_turns.c.group_id)
        .outerjoin(runs, runs.c.id == group_turns.c.run_id)
        # While a review runs, where the next one begins is not known yet.
        .where(group_turns.c.due, group_rows.c.sleeptime_agent_frequency.is_distinct_from(0))
        .where(or_(runs.c.id.is_(None), runs.c.completed_at.is_not(None)))
        .limit(limit)
    )
    known: dict[str, Group] = {}
    found: list[Review] = []
    for row in c.execute(query).all():
        if row.group_id not in known:
            known[row.group_id] = groups.get(c, row.organization_id, row.group_id)
        found.append(
            Review(
                group=known[row.group_id],
                agent_id=row.agent_id,
                conversation_id=row.conversation_id,
                turns=row.turns,
                reviewed_turns=row.reviewed_turns,
                after=row.after,
            )
        )
    return found


def claim(c: Connection, review: Review, through: MessageId | None, run_id: RunId | None) -> bool:
    """Begin a review that ends with the message `through`; False when it was begun elsewhere.

    Without a run the review is done as it is: there was nothing to read.
    """
    every = 1 if review.group.sleeptime_agent_frequency is None else review.group.sleeptime_agent_frequency
    again = group_turns.c.turns - review.turns >= max(every, 1)
    voice = review.group.manager_type is ManagerType.VOICE_SLEEPTIME
    changed = c.execute(
        update(group_turns)
        .where(
            group_turns.c.group_id == review.group.id,
            group_turns.c.agent_id == review.agent_id,
            group_turns.c.conversation_id == review.conversation_id,
            group_turns.c.reviewed_turns == review.reviewed_turns,
            group_turns.c.due,
        )
        .values(
            reviewed_turns=review.turns,
            due=false() if voice or not every else again,
            processed_message_id=review.after if run_id is not None else through or review.after,
            claimed_message_id=through,
            run_id=run_id,
        )
    )
    return changed.rowcount == 1


def said_since(c: Connection, review: Review, limit: int) -> tuple[list[Message], int]:
    """What the review has to read: the latest `limit` messages in order, and how many before them are left out."""
    conditions = [
        message_rows.c.conversation_id == review.conversation_id,
        message_rows.c.kind.in_(_REVIEWED),
    ]
    if review.after is None:
        conditions.append(message_rows.c.created_at >= review.group.created_at)
    else:
        place = select(message_rows.c.seq).where(message_rows.c.id == review.after).scalar_subquery()
        conditions.append(message_rows.c.seq > func.coalesce(place, 0))
    wanted = and_(*conditions)
    ids = c.execute(select(message_rows.c.id).where(wanted).order_by(message_rows.c.seq.desc()).limit(limit))
    found = messages.get_many(c, review.group.organization_id, ids.scalars().all()[::-1])
    if len(found) < limit:
        return found, 0
    total = int(c.execute(select(func.count()).select_from(message_rows).where(wanted)).scalar_one())
    return found, total - len(found)


def _length(c: Connection, conversation_id: ConversationId) -> int:
    query = select(func.count()).where(
        message_rows.c.conversation_id == conversation_id, message_rows.c.in_context, message_rows.c.kind.in_(_SAID)
    )
    return int(c.execute(query).scalar_one())


def leave_context(c: Connection, conversation_id: ConversationId, through: MessageId) -> None:
    """Take what was handed over out of the main agent's context; it stays in the history and in the search."""
    place = select(message_rows.c.seq).where(message_rows.c.id == through).scalar_subquery()
    c.execute(
        update(message_rows)
        .where(
            message_rows.c.conversation_id == conversation_id,
            message_rows.c.in_context,
            message_rows.c.kind != MessageKind.PROMPT,
            message_rows.c.seq <= place,
        )
        .values(in_context=False)
    )

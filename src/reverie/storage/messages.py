"""Messages: append, read by page, and the set that is in context."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    String,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)

from reverie.domain.errors import NotFound
from reverie.domain.ids import ConversationId, MessageId, OrganizationId, RunId
from reverie.domain.message import ApprovalRequestBody, Body, Message, MessageFilter, MessageKind, ToolReturnBody
from reverie.domain.paging import Page
from reverie.storage.codec import body_of
from reverie.storage.columns import member_of
from reverie.storage.paging import fetch_rows
from reverie.storage.rows import RowMap, equals, loaded_by
from reverie.storage.schema import conversations, messages, open_approvals
from reverie.storage.search import reindex_message, store_messages
from reverie.storage.together import later

_close = delete(open_approvals).where(open_approvals.c.conversation_id == bindparam("conversation"))
_open = insert(open_approvals).from_select(
    ["seq", "conversation_id"],
    select(messages.c.seq, messages.c.conversation_id).where(messages.c.id == bindparam("message")),
)
_result = messages.alias("result")
_reopen = insert(open_approvals).from_select(
    ["seq", "conversation_id"],
    select(messages.c.seq, messages.c.conversation_id).where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.kind == MessageKind.APPROVAL_REQUEST,
        messages.c.in_context,
        ~exists().where(
            _result.c.conversation_id == messages.c.conversation_id,
            _result.c.seq > messages.c.seq,
            _result.c.in_context,
            _result.c.kind == MessageKind.TOOL_RETURN,
        ),
    ),
)
_map = RowMap(messages, Message, {"body": loaded_by(body_of)})
_context_ids = (
    select(messages.c.conversation_id, messages.c.id, messages.c.kind)
    .where(member_of(messages.c.conversation_id, "conversations"), messages.c.in_context)
    .order_by(messages.c.seq)
)
# Thousands of rows in each turn of a long conversation, so the body comes as the driver gives it and rows by place.
_context = (
    select(
        messages.c.kind,
        type_coerce(messages.c.body, String),
        messages.c.id,
        messages.c.organization_id,
        messages.c.agent_id,
        messages.c.created_at,
        messages.c.run_id,
        messages.c.step_id,
        messages.c.otid,
        messages.c.name,
        messages.c.sender_id,
        messages.c.group_id,
        messages.c.is_err,
        messages.c.model,
    )
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.in_context)
    .order_by(messages.c.seq)
)
_count = select(func.count()).where(
    messages.c.conversation_id == bindparam("conversation"),
    messages.c.kind.not_in([MessageKind.PROMPT, MessageKind.EVENT]),
)
# What models write has a step; the partial index of inputs says so in the same words.
_run_of_otid = (
    select(messages.c.run_id)
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.otid == bindparam("otid"),
        messages.c.run_id.is_not(None),
        messages.c.step_id.is_(None),
    )
    .order_by(messages.c.seq.desc())
    .limit(1)
)
_FIRST: Mapping[str, int] = {MessageKind.PROMPT: 0, MessageKind.SUMMARY: 1}
"""What stands before all other messages of a context, whenever it was written."""


def append(c: Connection, new: Sequence[Message]) -> None:
    """Add `new` in order; their place in the conversation is the order of insertion."""
    if new:
        store_messages(c, new, [{**_map.values(message), "kind": message.body.kind} for message in new])
        _note_approvals(c, new)


def _note_approvals(c: Connection, new: Sequence[Message]) -> None:
    """Keep account of which requests for approval are open: a result closes those before it."""
    for message in new:
        if isinstance(message.body, ToolReturnBody):
            later(c, _close, {"conversation": message.conversation_id})
        elif isinstance(message.body, ApprovalRequestBody):
            c.execute(_open, {"message": message.id})


def load_context(c: Connection, conversation_id: ConversationId) -> list[Message]:
    """What the next request to the model holds: prompt, summary, then the rest as it was said."""
    found: tuple[list[Message], ...] = ([], [], [])
    for (
        kind, body, message_id, organization_id, agent_id, created_at, run_id, step_id, otid, name, sender_id,
        group_id, is_err, model,
    ) in c.execute(_context, {"conversation": conversation_id}).all():  # fmt: skip
        found[_FIRST.get(kind, 2)].append(
            Message(
                id=message_id,
                organization_id=organization_id,
                agent_id=agent_id,
                conversation_id=conversation_id,
                body=body_of(body),
                created_at=created_at,
                run_id=run_id,
                step_id=step_id,
                otid=otid,
                name=name,
                sender_id=sender_id,
                group_id=group_id,
                is_err=is_err,
                model=model,
            )
        )
    prompt, summary, rest = found
    return [*prompt, *summary, *rest]


def count(c: Connection, conversation_id: ConversationId) -> int:
    """How many messages the conversation ever had, prompt and notes left out."""
    return int(c.execute(_count, {"conversation": conversation_id}).scalar_one())


def context_ids(c: Connection, conversation_ids: Sequence[str]) -> dict[str, tuple[MessageId, ...]]:
    """Ids in context of each conversation, in order."""
    found: dict[str, tuple[list[MessageId], list[MessageId], list[MessageId]]] = {}
    for conversation_id, message_id, kind in c.execute(_context_ids, {"conversations": conversation_ids}).all():
        ranks = found.get(conversation_id)
        if ranks is None:
            ranks = found[conversation_id] = ([], [], [])
        ranks[_FIRST.get(kind, 2)].append(message_id)
    return {key: (*prompt, *summary, *rest) for key, (prompt, summary, rest) in found.items()}


def set_context(c: Connection, conversation_id: ConversationId, keep: Iterable[MessageId]) -> None:
    """Make exactly `keep` (and the prompt) the conversation's context.

    Raises:
        NotFound: an id is not a message of the conversation.
    """
    wanted = set(keep)
    rows = c.execute(
        select(messages.c.id).where(messages.c.conversation_id == conversation_id, messages.c.id.in_(wanted))
    )
    if missing := wanted - {row[0] for row in rows}:
        raise NotFound("message", sorted(missing)[0])
    outside = (messages.c.conversation_id == conversation_id) & (messages.c.kind != MessageKind.PROMPT)
    c.execute(update(messages).where(outside, messages.c.in_context).values(in_context=False))
    c.execute(update(messages).where(outside, messages.c.id.in_(wanted)).values(in_context=True))
    c.execute(_close, {"conversation": conversation_id})
    c.execute(_reopen, {"conversation": conversation_id})


def recent(c: Connection, conversation_id: ConversationId, turns: int) -> list[Message]:
    """What followed the last `turns` messages of the user, and all that is in context; in the order of a context."""
    here = messages.c.conversation_id == conversation_id
    place = messages.c.seq
    first = (
        select(place)
        .where(here, messages.c.kind == MessageKind.USER)
        .order_by(place.desc())
        .offset(max(turns, 1) - 1)
        .limit(1)
    )
    followed = place >= func.coalesce(first.scalar_subquery(), 0) if turns > 0 else false()
    query = select(messages).where(here, or_(messages.c.in_context, followed)).order_by(place)
    return sorted(messages_of(c.execute(query).all()), key=lambda message: message.kind is not MessageKind.PROMPT)


def drop_from_context(c: Connection, ids: Sequence[MessageId]) -> None:
    """Take messages out of the context; they stay in the history."""
    if ids:
        c.execute(update(messages).where(messages.c.id.in_(ids)).values(in_context=False))


def replace_body(c: Connection, message_id: MessageId, body: Body) -> None:
    """Store another body for a message."""
    c.execute(update(messages).where(messages.c.id == message_id).values(kind=body.kind, body=body))


def change_words(c: Connection, message: Message) -> None:
    """Store other words for a message that is there, and make it findable by them."""
    replace_body(c, message.id, message.body)
    reindex_message(c, message)


def get(c: Connection, organization_id: OrganizationId, message_id: MessageId) -> Message:
    """One message.

    Raises:
        NotFound: there is none in the organisation.
    """
    query = select(messages).where(messages.c.organization_id == organization_id, messages.c.id == message_id)
    row = c.execute(query).one_or_none()
    if row is None:
        raise NotFound("message", message_id)
    return _map.read(row)


def get_many(c: Connection, organization_id: OrganizationId, ids: Sequence[str]) -> list[Message]:
    """The messages of `ids` that exist, in the order of `ids`."""
    query = select(messages).where(messages.c.organization_id == organization_id, messages.c.id.in_(ids))
    found = {row.id: _map.read(row) for row in c.execute(query).all()}
    return [found[item] for item in ids if item in found]


def list_page(c: Connection, organization_id: OrganizationId, where: MessageFilter, page: Page) -> list[Message]:
    """A page of the messages that meet `where`."""
    conditions = [
        messages.c.organization_id == organization_id,
        *equals(
            (messages.c.conversation_id, where.conversation_id),
            (messages.c.run_id, where.run_id),
            (messages.c.step_id, where.step_id),
            (messages.c.group_id, where.group_id),
        ),
    ]
    if where.kinds is not None:
        conditions.append(messages.c.kind.in_(where.kinds))
    if where.include_err is False:
        conditions.append(messages.c.is_err.is_not(True))
    if where.once:
        conditions.append(~copied(where.group_id))
    query = select(messages).where(*conditions)
    return messages_of(fetch_rows(c, query, messages, page, organization_id, "message"))


def run_of_otid(c: Connection, conversation_id: str, otid: str) -> RunId | None:
    """The run that was sent the input with this otid; the latest, where several were."""
    return c.execute(_run_of_otid, {"conversation": conversation_id, "otid": otid}).scalar()


def threads_with_approvals(c: Connection, agent_id: str) -> list[ConversationId]:
    """Conversations of an agent whose context holds a request for approval, answered or not."""
    query = select(messages.c.conversation_id).where(
        messages.c.conversation_id.in_(select(conversations.c.id).where(conversations.c.agent_id == agent_id)),
        literal_column("messages.kind = 'approval_request'"),
        messages.c.in_context.is_(True),
    )
    return list(c.execute(query.distinct()).scalars())


def copied(group_id: str | None) -> ColumnElement[bool]:
    """Whether a message of a group is what another agent heard: it has the `otid` of an earlier one."""
    earlier = messages.alias("earlier")
    return exists().where(
        earlier.c.group_id == group_id, earlier.c.otid == messages.c.otid, earlier.c.seq < messages.c.seq
    )


def messages_of(rows: Sequence[Row[Any]]) -> list[Message]:
    """The messages of rows of `select(messages)`."""
    return [_map.read(row) for row in rows]


def delete_many(c: Connection, ids: Sequence[MessageId]) -> None:
    """Remove messages from the history as well."""
    c.execute(delete(messages).where(messages.c.id.in_(ids)))


def delete_all(c: Connection, conversation_id: ConversationId, *, keep_prompt: bool) -> None:
    """Remove the conversation's messages from the history as well."""
    query = delete(messages).where(messages.c.conversation_id == conversation_id)
    if keep_prompt:
        query = query.where(messages.c.kind != MessageKind.PROMPT)
    c.execute(query)

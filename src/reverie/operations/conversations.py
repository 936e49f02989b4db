"""Conversations: made, listed, forked, compacted."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.conversation import Conversation
from reverie.domain.errors import InvalidInput
from reverie.domain.ids import AgentId, ConversationId, MessageId, make_id
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageKind
from reverie.domain.paging import Page
from reverie.domain.run import Run
from reverie.domain.unset import UNSET, Unset
from reverie.loop.compact import plan_compaction
from reverie.loop.state import load_view, new_message, refresh_prompt
from reverie.operations.base import Operations
from reverie.storage import agents, conversations, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDraft:
    """A conversation to be made."""

    summary: str | None = None
    model: str | None = None
    model_settings: JsonObject | None = None
    description: str | None = None
    context_window_limit: int | None = None
    isolated_block_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChanges:
    """A partial update of a conversation."""

    summary: str | Unset | None = UNSET
    model: str | Unset | None = UNSET
    model_settings: JsonObject | Unset | None = UNSET
    description: str | Unset | None = UNSET
    context_window_limit: int | Unset | None = UNSET
    archived: bool | Unset = UNSET
    last_message_at: datetime | Unset | None = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """A conversation with the ids in its context."""

    conversation: Conversation
    message_ids: tuple[MessageId, ...]


async def create(ops: Operations, caller: Caller, agent_id: AgentId, draft: ConversationDraft) -> ConversationView:
    """Open a thread of an agent, with an empty context of its own."""
    caller.require(Scope.WRITE)
    if draft.isolated_block_labels:
        raise InvalidInput("isolated_block_labels: blocks of one conversation's own are not supported")
    if draft.model is not None:
        await (await ops.catalogs.of(caller.organization_id)).chat_model(draft.model)
    now = ops.clock()

    def write(c: Connection) -> ConversationView:
        agent = agents.get(c, caller.organization_id, agent_id)
        conversation = Conversation(
            id=ConversationId(make_id("conv")),
            organization_id=caller.organization_id,
            agent_id=agent.id,
            summary=draft.summary,
            model=draft.model,
            model_settings=draft.model_settings,
            metadata={"description": draft.description, "context_window_limit": draft.context_window_limit},
            created_at=now,
            updated_at=now,
            created_by_id=caller.user_id,
            last_updated_by_id=caller.user_id,
        )
        conversations.insert_conversation(c, conversation)
        load_view(c, caller.organization_id, conversation.id, now)
        return _view(c, caller, conversation.id)

    return await ops.database.write(write)


async def retrieve(ops: Operations, caller: Caller, conversation_id: ConversationId) -> ConversationView:
    """One conversation."""
    return await ops.database.read(lambda c: _view(c, caller, conversation_id))


async def list_conversations(
    ops: Operations,
    caller: Caller,
    page: Page,
    *,
    agent_id: AgentId | None = None,
    summary_search: str | None = None,
    archived: bool | None = None,
) -> list[ConversationView]:
    """A page of conversations; agents' own threads are not among them."""

    def read(c: Connection) -> list[ConversationView]:
        found = conversations.list_page(
            c,
            caller.organization_id,
            page,
            agent_id=agent_id,
            summary_search=summary_search,
            archived=archived,
        )
        context = messages.context_ids(c, [item.id for item in found])
        return [ConversationView(conversation=item, message_ids=context.get(item.id, ())) for item in found]

    return await ops.database.read(read)


async def update(
    ops: Operations, caller: Caller, conversation_id: ConversationId, changes: ConversationChanges
) -> ConversationView:
    """Change what is given."""
    caller.require(Scope.WRITE)
    if isinstance(changes.model, str):
        await (await ops.catalogs.of(caller.organization_id)).chat_model(changes.model)
    given = {
        "summary": changes.summary,
        "model": changes.model,
        "model_settings": changes.model_settings,
        "archived": changes.archived,
        "last_message_at": changes.last_message_at,
    }
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not UNSET}
    beside = {"description": changes.description, "context_window_limit": changes.context_window_limit}
    notes: dict[str, Any] = {name: value for name, value in beside.items() if value is not UNSET}

    def write(c: Connection) -> ConversationView:
        before = conversations.get(c, caller.organization_id, conversation_id)
        stamp = {
            "metadata": {**before.metadata, **notes},
            "updated_at": ops.clock(),
            "last_updated_by_id": caller.user_id,
        }
        conversations.update_conversation(c, conversation_id, values | stamp)
        return _view(c, caller, conversation_id)

    return await ops.database.write(write)


async def delete(ops: Operations, caller: Caller, conversation_id: ConversationId) -> None:
    """Remove a conversation with its messages; a running turn is cancelled first.

    Raises:
        InvalidInput: an agent's own thread goes only with the agent.
    """
    caller.require(Scope.WRITE)
    conversation = (await retrieve(ops, caller, conversation_id)).conversation
    if conversation.is_default:
        raise InvalidInput("an agent's own thread cannot be deleted; reset its messages, or delete the agent")
    await ops.runs.cancel_active(caller.organization_id, conversation_id=conversation_id)
    await ops.database.write(lambda c: conversations.delete_conversation(c, conversation_id))


async def fork(ops: Operations, caller: Caller, conversation_id: ConversationId) -> ConversationView:
    """Open a new conversation that begins with a copy of this one's context."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def write(c: Connection) -> ConversationView:
        view = load_view(c, caller.organization_id, conversation_id, now)
        twin = replace(
            view.conversation,
            id=ConversationId(make_id("conv")),
            active_run_id=None,
            prompt_id=None,
            prompt_fingerprint=None,
            created_at=now,
            updated_at=now,
            created_by_id=caller.user_id,
            last_updated_by_id=caller.user_id,
        )
        conversations.insert_conversation(c, twin)
        messages.append(
            c, [_copy(message, twin.id) for message in view.context if message.kind is not MessageKind.PROMPT]
        )
        load_view(c, caller.organization_id, twin.id, now)
        return _view(c, caller, twin.id)

    return await ops.database.write(write)


async def cancel(ops: Operations, caller: Caller, conversation_id: ConversationId) -> list[Run]:
    """Stop what runs in the conversation; nothing running is fine."""
    caller.require(Scope.WRITE)
    await retrieve(ops, caller, conversation_id)
    return await ops.runs.cancel_active(caller.organization_id, conversation_id=conversation_id)


async def recompile(ops: Operations, caller: Caller, conversation_id: ConversationId, *, dry_run: bool = False) -> str:
    """Compile the system prompt anew, counts and date included, and return it."""
    caller.require(Scope.WRITE)

    def write(c: Connection) -> str:
        view = load_view(c, caller.organization_id, conversation_id, ops.clock())
        if dry_run:
            return view.prompt
        return refresh_prompt(c, view, ops.clock(), force=True).prompt

    return await ops.database.write(write)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction changed."""

    summary: str
    messages_before: int
    messages_after: int


async def compact(ops: Operations, caller: Caller, conversation_id: ConversationId) -> Compacted:
    """Summarise the older part of the context now.

    Raises:
        InvalidInput: there is too little to summarise.
    """
    caller.require(Scope.WRITE)
    view = await ops.database.write(lambda c: load_view(c, caller.organization_id, conversation_id, ops.clock()))
    model = await (await ops.catalogs.of(caller.organization_id)).chat_model(view.model_handle)
    window = min(view.window_limit or model.info.context_window, model.info.context_window)
    plan = await plan_compaction(view, await ops.catalogs.of(caller.organization_id), model, window)
    if plan is None:
        raise InvalidInput("the conversation is too short to be summarised; nothing was changed")
    summary = new_message(view, plan.summary, ops.clock())

    def write(c: Connection) -> Compacted:
        now = load_view(c, caller.organization_id, conversation_id, ops.clock())
        gone = {message.id for message in plan.cut.leaving}
        if not gone <= {message.id for message in now.context}:
            raise InvalidInput("the conversation changed meanwhile; ask again")
        messages.drop_from_context(c, sorted(gone))
        messages.append(c, [summary])
        after = load_view(c, caller.organization_id, conversation_id, ops.clock())
        return Compacted(summary=plan.summary.text, messages_before=len(now.context), messages_after=len(after.context))

    return await ops.database.write(write)


def _copy(message: Message, conversation_id: ConversationId) -> Message:
    return replace(
        message,
        id=MessageId(make_id("message")),
        conversation_id=conversation_id,
        run_id=None,
        otid=make_id("otid"),
    )


def _view(c: Connection, caller: Caller, conversation_id: ConversationId) -> ConversationView:
    conversation = conversations.get(c, caller.organization_id, conversation_id)
    context = messages.context_ids(c, [conversation_id])
    return ConversationView(conversation=conversation, message_ids=context.get(conversation_id, ()))

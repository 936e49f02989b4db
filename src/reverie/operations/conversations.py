"""Conversations: made, listed, forked, compacted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.context.compaction import notes_of
from reverie.domain.agent import CompactionChanges
from reverie.domain.conversation import Conversation
from reverie.domain.errors import Busy, Conflict, InvalidInput, NotFound
from reverie.domain.ids import AgentId, ConversationId, MessageId, RunId, make_id, make_otid
from reverie.domain.inputs import TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageKind
from reverie.domain.paging import Page
from reverie.domain.unset import UNSET, Unset
from reverie.loop.compact import Compactor, announcement, plan_compaction
from reverie.loop.compact import compact as summarise
from reverie.loop.measure import Measured
from reverie.loop.offer import compile_request
from reverie.loop.state import compiled_prompt, load_view, new_message, read_view, refresh_prompt
from reverie.models.retry import RetryPolicy
from reverie.operations.base import Operations
from reverie.storage import agents, blocks, conversations, messages


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDraft:
    """A conversation to be made."""

    summary: str | None = None
    model: str | None = None
    model_settings: JsonObject | None = None
    description: str | None = None
    context_window_limit: int | None = None
    isolated_block_labels: tuple[str, ...] = ()
    """Blocks of the agent that this conversation shall have copies of for itself."""
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChanges:
    """A partial update of a conversation."""

    summary: str | Unset | None = UNSET
    model: str | Unset | None = UNSET
    model_settings: JsonObject | Unset | None = UNSET
    description: str | Unset | None = UNSET
    context_window_limit: int | Unset | None = UNSET
    archived: bool | Unset = UNSET
    last_message_at: datetime | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationView:
    """A conversation with the ids in its context."""

    conversation: Conversation
    message_ids: tuple[MessageId, ...]


async def create(ops: Operations, caller: Caller, agent_id: AgentId, draft: ConversationDraft) -> ConversationView:
    """Open a thread of an agent, with an empty context of its own.

    Raises:
        NotFound: an unknown agent or model, or the agent has no block of a label to isolate.
    """
    caller.require(Scope.WRITE)
    if draft.model is not None:
        await (await ops.catalogs.of(caller.organization_id)).chat_model(draft.model)
    now = ops.clock()

    def write(c: Connection) -> ConversationView:
        agent = agents.get(c, caller.organization_id, agent_id)
        labels = dict.fromkeys(draft.isolated_block_labels)
        own = blocks.copies((blocks.of_label(c, agent, label) for label in labels), caller.user_id, now)
        blocks.insert_blocks(c, own)
        conversation = Conversation(
            id=ConversationId(make_id("conv")),
            organization_id=caller.organization_id,
            agent_id=agent.id,
            summary=draft.summary,
            model=draft.model,
            model_settings=draft.model_settings,
            isolated_block_ids=tuple(block.id for block in own),
            metadata={"description": draft.description, "context_window_limit": draft.context_window_limit},
            hidden=draft.hidden,
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
    caller.require(Scope.READ)
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
    """A page of conversations; neither agents' own threads nor hidden ones are among them."""
    caller.require(Scope.READ)

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
    now = ops.clock()
    notes: dict[str, Any] = {name: value for name, value in beside.items() if value is not UNSET}

    def write(c: Connection) -> ConversationView:
        before = conversations.get(c, caller.organization_id, conversation_id)
        stamp: dict[str, Any] = {
            "metadata": {**before.metadata, **notes},
            "updated_at": now,
            "last_updated_by_id": caller.user_id,
        }
        if changes.archived is not UNSET and changes.archived != before.archived:
            stamp["archived_at"] = now if changes.archived else None
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

    def remove(c: Connection) -> None:
        conversations.delete_conversation(c, conversation_id)
        blocks.delete_many(c, conversation.isolated_block_ids)

    await ops.database.write(remove)


async def fork(
    ops: Operations,
    caller: Caller,
    conversation_id: ConversationId,
    *,
    up_to: MessageId | None = None,
    hidden: bool = False,
) -> ConversationView:
    """Open a new conversation that begins with a copy of this one's context, all of it or up to a message of it.

    Raises:
        NotFound: `up_to` is not in the context.
    """
    caller.require(Scope.WRITE)
    now = ops.clock()

    def write(c: Connection) -> ConversationView:
        view = load_view(c, caller.organization_id, conversation_id, now)
        said = _up_to(view.context, up_to)
        own = blocks.copies(
            blocks.isolated(c, caller.organization_id, view.conversation.isolated_block_ids), caller.user_id, now
        )
        blocks.insert_blocks(c, own)
        twin = replace(
            view.conversation,
            id=ConversationId(make_id("conv")),
            isolated_block_ids=tuple(block.id for block in own),
            active_run_id=None,
            prompt_id=None,
            prompt_fingerprint=None,
            archived=False,
            archived_at=None,
            hidden=hidden,
            created_at=now,
            updated_at=now,
            created_by_id=caller.user_id,
            last_updated_by_id=caller.user_id,
        )
        conversations.insert_conversation(c, twin)
        load_view(c, caller.organization_id, twin.id, now)  # its own prompt comes before what was said
        messages.append(c, [_copy(message, twin.id) for message in said if message.kind is not MessageKind.PROMPT])
        load_view(c, caller.organization_id, twin.id, now)  # `up_to` may stand between a call and its result
        return _view(c, caller, twin.id)

    return await ops.database.write(write)


def _up_to(context: Sequence[Message], last: MessageId | None) -> Sequence[Message]:
    if last is None:
        return context
    for place, message in enumerate(context):
        if message.id == last:
            return context[: place + 1]
    raise NotFound("message", last, "it is not in the conversation's context")


async def cancel(ops: Operations, caller: Caller, conversation_id: ConversationId) -> list[RunId]:
    """Stop what runs in the conversation, or waits for an approval.

    Raises:
        Conflict: nothing is active.
    """
    caller.require(Scope.WRITE)
    conversation = await retrieve(ops, caller, conversation_id)
    stopped = await ops.runs.call_off(
        caller.organization_id, conversation.conversation.agent_id, conversation_id=conversation_id
    )
    if not stopped:
        raise Conflict(f"No active runs to cancel for conversation {conversation_id!r}")
    return stopped


async def recompile(
    ops: Operations,
    caller: Caller,
    conversation_id: ConversationId,
    *,
    dry_run: bool = False,
    update_timestamp: bool = False,
) -> str:
    """Compile the system prompt anew, counts and date included, and return it.

    With `update_timestamp` it says that memory was last changed now.
    """
    caller.require(Scope.READ if dry_run else Scope.WRITE)
    now = ops.clock()
    edited_at = now if update_timestamp else None

    def compile_only(c: Connection) -> str:
        view = read_view(c, caller.organization_id, conversation_id, now)
        return compiled_prompt(c, view, now, edited_at=edited_at)

    def store(c: Connection) -> str:
        view = load_view(c, caller.organization_id, conversation_id, now)
        return refresh_prompt(c, view, now, force=True, edited_at=edited_at).prompt

    return await (ops.database.read(compile_only) if dry_run else ops.database.write(store))


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a compaction changed."""

    summary: str
    messages_before: int
    messages_after: int


async def compact(
    ops: Operations, caller: Caller, conversation_id: ConversationId, changes: CompactionChanges | None = None
) -> Compacted:
    """Summarise the older part of the context now, by the agent's settings with `changes` made to them.

    Where all that could be summarised is already, nothing changes.

    Raises:
        InvalidInput: there is too little to summarise.
        NotFound: an unknown summarising model.
        Busy: a run is at work in the conversation.
        Conflict: the conversation changed meanwhile.
    """
    caller.require(Scope.WRITE)
    catalog = await ops.catalogs.of(caller.organization_id)
    if changes is not None and isinstance(changes.model, str):
        await catalog.chat_model(changes.model)
    view = await ops.database.write(lambda c: load_view(c, caller.organization_id, conversation_id, ops.clock()))
    _check_idle(view.conversation)
    if all(message.kind in (MessageKind.PROMPT, MessageKind.SUMMARY) for message in view.context):
        size = len(view.context)
        return Compacted(summary=notes_of(view.context), messages_before=size, messages_after=size)
    model = await catalog.chat_model(view.model_handle)
    ratio = await ops.ratios.of(caller.organization_id, model.info.handle)
    window = ratio.estimated(min(view.window_limit or model.info.context_window, model.info.context_window))
    prompt = compile_request(view, TurnOptions(), model.info)
    budget = Measured(prompt, 0, window).budget
    plan = plan_compaction(view, window, budget, changes=changes, trigger="requested", keep_last=False)
    if plan is None:
        raise InvalidInput("the conversation is too short to be summarised; nothing was changed")
    compactor = Compactor(
        catalog=catalog, ratios=ops.ratios, retries=RetryPolicy(), model=model, window=window, ratio=ratio
    )
    begun = announcement(plan, view, compactor)
    done = await summarise(view, plan, compactor)
    notes = [begun] if done.failure is None else [begun, done.failure]
    told = [replace(new_message(view, note, ops.clock()), in_context=False) for note in notes]
    summary = new_message(view, done.summary, ops.clock())

    def write(c: Connection) -> Compacted:
        _check_idle(conversations.hold(c, caller.organization_id, conversation_id))
        now = load_view(c, caller.organization_id, conversation_id, ops.clock())
        gone = {message.id for message in done.cut.leaving}
        if not gone <= {message.id for message in now.context}:
            raise Conflict("the conversation changed meanwhile; ask again")
        messages.drop_from_context(c, sorted(gone))
        messages.append(c, [*told, summary])
        after = load_view(c, caller.organization_id, conversation_id, ops.clock())
        return Compacted(
            summary=done.summary.notes or "", messages_before=len(now.context), messages_after=len(after.context)
        )

    return await ops.database.write(write)


def _check_idle(conversation: Conversation) -> None:
    if conversation.active_run_id is not None:
        raise Busy(conversation.id, conversation.active_run_id)


def _copy(message: Message, conversation_id: ConversationId) -> Message:
    return replace(
        message,
        id=MessageId(make_id("message")),
        conversation_id=conversation_id,
        run_id=None,
        otid=make_otid(),
    )


def _view(c: Connection, caller: Caller, conversation_id: ConversationId) -> ConversationView:
    conversation = conversations.get(c, caller.organization_id, conversation_id)
    context = messages.context_ids(c, [conversation_id])
    return ConversationView(conversation=conversation, message_ids=context.get(conversation_id, ()))

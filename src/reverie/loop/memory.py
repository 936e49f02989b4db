"""The agent's memory as state tools see it: inside the transaction that saves their results."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from reverie.domain.agent import Agent, AgentType
from reverie.domain.block import Block, BlockDraft, overlaid
from reverie.domain.errors import Conflict, InvalidInput, NotFound, ToolError
from reverie.domain.folder import FileView, OpenOutcome
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, MessageKind, MessageScope, text_of
from reverie.domain.passage import Passage, SearchQuery
from reverie.domain.run import Run
from reverie.loop.state import View
from reverie.storage import archives as archive_store
from reverie.storage import blocks as block_store
from reverie.storage import file_views, search
from reverie.storage import groups as group_store
from reverie.storage import messages as message_store
from reverie.storage import passages as passage_store

_SLEEPTIME: Final = (AgentType.SLEEPTIME, AgentType.VOICE_SLEEPTIME)


class TransactionMemory:
    """Implements `tools.base.MemoryPort` over one open connection."""

    def __init__(
        self, c: Connection, view: View, *, run: Run | None, now: datetime, asked_at: datetime | None = None
    ) -> None:
        """`run`: None where a tool is run by hand. `asked_at`: when calls were asked for, where that was earlier."""
        self._c = c
        self._view = view
        self._run = run
        self._now = now
        self._asked_at = asked_at
        self._read = {block.id: block.version for block in view.details.blocks}
        """Versions that the model knows of: those in its prompt, and what its own calls made of them."""
        self._tool_name = ""
        self._opened = 0

    def acting_as(self, tool_name: str) -> None:
        """Name the tool that the changes which follow are ascribed to."""
        self._tool_name = tool_name

    @property
    def agent(self) -> Agent:
        return self._view.agent

    @property
    def now(self) -> datetime:
        return self._now

    def blocks(self) -> Sequence[Block]:
        # Locked: an agent that shares a block waits for this transaction instead of losing the race.
        shared = block_store.of_agent(self._c, self.agent.organization_id, self.agent.id, lock=True)
        own_ids = self._view.conversation.isolated_block_ids
        if not own_ids:
            return shared
        return overlaid(shared, block_store.isolated(self._c, self.agent.organization_id, own_ids, lock=True))

    def block(self, label: str) -> Block:
        found = self.blocks()
        for block in found:
            if block.label == label:
                return block
        labels = ", ".join(repr(block.label) for block in found) or "none"
        raise ToolError(f"there is no memory block {label!r}; your blocks are: {labels}")

    def block_as_read(self, label: str) -> Block:
        block = self._writable(label)
        read = self._read.get(block.id, block.version)
        late = self._asked_at is not None and self._asked_at < block.updated_at < self._now
        if block.version == read and not late:
            return block
        raise ToolError(
            f"memory block {label!r} was changed by somebody else after you had read it, so nothing was written. "
            f"It now reads:\n{block.value}\nTake that in, then call again."
        )

    def write_block(self, label: str, value: str) -> Block:
        block = self._writable(label)
        try:
            fresh = block_store.change_value(self._c, block, value, actor=self._actor(), now=self._now)
        except InvalidInput as error:
            raise ToolError(
                f"memory block {label!r} holds at most {block.limit} characters and would have {len(value)}, so "
                "nothing was written; write less, or condense what the block holds first"
            ) from error
        if self._read.get(block.id) == block.version:
            self._read[block.id] = fresh.version
        return fresh

    def create_block(self, label: str, value: str, description: str | None) -> Block:
        if any(block.label == label for block in self.blocks()):
            raise ToolError(f"a memory block {label!r} exists already; edit it, or choose another label")
        draft = BlockDraft(label=label, value=value, description=description)
        try:
            block = block_store.create(self._c, self.agent.organization_id, draft, actor=self._actor(), now=self._now)
            block_store.attach(self._c, self.agent.id, block)
            if self.agent.enable_sleeptime:
                group_store.share_block(self._c, self.agent.id, block)
            elif self.agent.agent_type in _SLEEPTIME:
                group_store.share_with_main(self._c, self.agent.id, block)
        except (InvalidInput, Conflict) as error:
            raise ToolError(str(error)) from error
        return block

    def detach_block(self, label: str) -> None:
        block = self._shared(label)
        block_store.detach(self._c, self.agent.id, block.id)
        if self.agent.enable_sleeptime:
            group_store.unshare_block(self._c, self.agent.id, block.id)

    def relabel_block(self, label: str, new_label: str | None, description: str | None) -> Block:
        block = self._writable(label) if new_label in (None, label) else self._shared(label)
        if new_label is not None and new_label != label and any(item.label == new_label for item in self.blocks()):
            raise ToolError(f"a memory block {new_label!r} exists already; choose another label")
        return block_store.relabel(self._c, block, label=new_label, description=description, now=self._now)

    def insert_passage(self, text: str, tags: Sequence[str], vector: Sequence[float] | None) -> Passage:
        return passage_store.insert_for_agent(self._c, self.agent, text, tags=tuple(tags), vector=vector, now=self._now)

    def search_passages(self, query: SearchQuery, vectors: Mapping[str, Sequence[float]]) -> Sequence[Passage]:
        within = archive_store.of_agent(self._c, self.agent.id)
        return [passage for passage, _ in passage_store.search_each(self._c, within, query, vectors)]

    def search_messages(self, query: SearchQuery, roles: Sequence[str]) -> Sequence[Message]:
        ids = search.search_messages(
            self._c, self.agent.organization_id, query, MessageScope(agent_id=self.agent.id, roles=roles)
        )
        return message_store.get_many(self._c, self.agent.organization_id, ids)

    def find_files(self, names: Sequence[str]) -> Mapping[str, FileView]:
        # Held first: what is found open stays so until it is opened or closed here.
        file_views.hold(self._c, self.agent.id)
        return file_views.named(self._c, self.agent.id, names)

    def open_file(self, view: FileView, start: int | None, end: int | None) -> OpenOutcome:
        # All of one transaction happens at one moment; the last one opened is still the last one used.
        self._opened += 1
        moment = self._now + timedelta(microseconds=self._opened)
        try:
            return file_views.open_file(self._c, self.agent, view, moment, start=start, end=end)
        except (NotFound, InvalidInput) as error:
            raise ToolError(str(error)) from error

    def close_files(self, keep: Sequence[FileView]) -> Sequence[str]:
        return file_views.close(self._c, self.agent.id, keep=[view.file_id for view in keep])

    def touch_files(self, file_ids: Sequence[str]) -> None:
        file_views.touch(self._c, self.agent.id, file_ids, self._now)

    def heard(self) -> str:
        said = (item.body for item in reversed(self._view.context) if item.kind is MessageKind.USER)
        return next((text_of(body) for body in said), "")

    def _writable(self, label: str) -> Block:
        block = self.block(label)
        if block.read_only:
            raise ToolError(f"memory block {label!r} is read-only; it cannot be changed by tools")
        return block

    def _shared(self, label: str) -> Block:
        block = self._writable(label)
        if block.id in self._view.conversation.isolated_block_ids:
            raise ToolError(
                f"memory block {label!r} belongs to this conversation alone; its text can be changed, but it can "
                "neither be renamed nor deleted here"
            )
        return block

    def _actor(self) -> JsonObject:
        run_id = None if self._run is None else self._run.id
        actor: JsonObject = {"kind": "agent", "agent_id": self.agent.id, "run_id": run_id, "tool": self._tool_name}
        # The companion and its runs go with its agent, but a shared block and its history stay: they tell why.
        if self.agent.agent_type in _SLEEPTIME and self._run is not None and self._run.reviewed:
            agent_id, conversation_id = self._run.reviewed
            actor["reason"] = {"kind": "sleeptime", "agent_id": agent_id, "conversation_id": conversation_id}
        return actor

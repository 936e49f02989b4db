"""The contracts of the tools room.

Three kinds of tool, told apart by what must be atomic:

*State tools* change or search the agent's own memory. They run inside the transaction that
saves their results, so an edit and the result that reports it are one fact: after a crash
either both are there or neither. What they need from outside (a vector for a query) is
fetched before, in `prepare`.

*Executed tools* (custom code, MCP, the web) act on the outside world. They run between the
two commits of a step, with no transaction open.

*Peer tools* talk to other agents, each message a run of its own. They run where executed tools
run, behind the same `ToolExecutor`: the loop need not know who answers.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Final, Literal, Protocol

from reverie.domain.agent import Agent
from reverie.domain.block import Block
from reverie.domain.content import Part, TextPart
from reverie.domain.folder import FilePassage, FileView, OpenOutcome
from reverie.domain.ids import UserId
from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.message import Message
from reverie.domain.passage import Passage, SearchQuery
from reverie.domain.run import Run
from reverie.domain.secrecy import hiding
from reverie.domain.tool import Tool, ToolSpec, ToolType

AGENT_ID: Final = "LETTA_AGENT_ID"
"""The variable that tells a tool which agent called it."""
AGENT_STATE: Final = "agent_state"
"""The parameter through which a tool is handed its agent; no model sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEdit:
    """A memory block that a tool changed in what it was handed."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What one execution gave, before it is cut to the tool's limit."""

    status: Literal["success", "error"]
    content: tuple[Part, ...]
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    value: JsonValue = None
    """The raw return value, for rules that look at it."""
    edits: tuple[BlockEdit, ...] = ()
    """To be stored with the result."""
    admitted: bool = True
    """False: refused before it could run."""

    @staticmethod
    def success(text: str, value: JsonValue = None) -> "ToolOutcome":
        """A plain text result."""
        return ToolOutcome(status="success", content=(TextPart(text=text),), value=text if value is None else value)

    @staticmethod
    def error(text: str) -> "ToolOutcome":
        """A failure the model is told about."""
        return ToolOutcome(status="error", content=(TextPart(text=text),))

    def discreet(self, environment: Mapping[str, str]) -> "ToolOutcome":
        """The outcome without the values of `environment` in its errors and in what was printed.

        What a tool returns stays as it is: it may be made to return one.
        """
        hide = hiding({name: value for name, value in environment.items() if name != AGENT_ID})
        if hide is None:
            return self
        content = self.content
        if self.status == "error":
            content = tuple(replace(part, text=hide(part.text)) if part.type == "text" else part for part in content)
        return replace(
            self,
            content=content,
            stdout=tuple(map(hide, self.stdout)),
            stderr=tuple(map(hide, self.stderr)),
        )


class MemoryPort(Protocol):
    """An agent's memory as state tools see it: inside one open transaction.

    Every refusal is a `ToolError` written for the model.
    """

    @property
    def agent(self) -> Agent:
        """The calling agent."""
        ...

    @property
    def now(self) -> datetime:
        """The present, aware UTC."""
        ...

    def blocks(self) -> Sequence[Block]:
        """The agent's blocks, in the order they stand in the prompt."""
        ...

    def block(self, label: str) -> Block:
        """The block of `label`.

        Raises:
            ToolError: there is none; the text names the labels there are.
        """
        ...

    def block_as_read(self, label: str) -> Block:
        """The block of `label`, for edits that make sense only over the text that the model has read.

        Raises:
            ToolError: there is none, or somebody else changed it meanwhile; the text holds the new value.
        """
        ...

    def write_block(self, label: str, value: str) -> Block:
        """Store a new value.

        Raises:
            ToolError: read-only, or longer than the block's limit.
        """
        ...

    def create_block(self, label: str, value: str, description: str | None) -> Block:
        """Make a block and attach it to the agent.

        Raises:
            ToolError: the label is taken.
        """
        ...

    def detach_block(self, label: str) -> None:
        """Take the block away from the agent; other agents keep it."""
        ...

    def relabel_block(self, label: str, new_label: str | None, description: str | None) -> Block:
        """Change label or description; None leaves either as it is."""
        ...

    def insert_passage(self, text: str, tags: Sequence[str], vector: Sequence[float] | None) -> Passage:
        """Add to the agent's archive, which is made when there is none."""
        ...

    def search_passages(self, query: SearchQuery, vectors: Mapping[str, Sequence[float]]) -> Sequence[Passage]:
        """Search all archives of the agent, best first; each with the vector of its embedding model, where given."""
        ...

    def search_messages(self, query: SearchQuery, roles: Sequence[str]) -> Sequence[Message]:
        """Search all conversations of the agent, best first; roles `user`, `assistant`, `tool`; none: all."""
        ...

    def heard(self) -> str:
        """What was said to the agent last."""
        ...

    def find_files(self, names: Sequence[str]) -> Mapping[str, FileView]:
        """Those files of the agent's folders that are called one of `names`."""
        ...

    def open_file(self, view: FileView, start: int | None, end: int | None) -> OpenOutcome:
        """Show a file's lines from `start` (counted from 0) up to before `end`; others are closed beyond the limit.

        Raises:
            ToolError: it was just removed.
        """
        ...

    def close_files(self, keep: Sequence[FileView]) -> Sequence[str]:
        """Close all files but `keep`; the names of those that were open."""
        ...

    def touch_files(self, file_ids: Sequence[str]) -> None:
        """Note that files were just used."""
        ...


class FileLibrary(Protocol):
    """The files in an agent's folders, for tools that look into them before their transaction."""

    async def files(self) -> Sequence[FileView]:
        """All of them, by name."""
        ...

    async def text(self, file_id: str) -> str:
        """The text of one."""
        ...

    async def search(self, query: str, limit: int) -> Sequence[FilePassage]:
        """Passages that fit `query`, by meaning and by words, best first."""
        ...


class ToolServices(Protocol):
    """What state tools may fetch before their transaction."""

    @property
    def library(self) -> FileLibrary:
        """The agent's files."""
        ...

    async def embed(self, text: str) -> Sequence[float] | None:
        """The vector of `text` by the model of the agent's own archive; None: it has none, or it failed."""
        ...

    async def embed_for_passages(self, text: str) -> Mapping[str, Sequence[float]]:
        """The vectors to search the agent's archives with, by embedding model; none for one that failed."""
        ...

    async def embed_for_messages(self, text: str) -> Sequence[float] | None:
        """The vector to search messages with; None: search by words."""
        ...


class BuiltinTool(ABC):
    """A tool that came with the server. Subclasses are stateless."""

    spec: ClassVar[ToolSpec]
    tool_type: ClassVar[ToolType] = ToolType.CORE


class StateTool(BuiltinTool):
    """A tool over the agent's own memory."""

    async def prepare(self, args: JsonObject, services: ToolServices) -> object:
        """Fetch what `apply` needs from outside. Arguments are already checked against the schema."""
        return None

    @abstractmethod
    def apply(self, args: JsonObject, prepared: object, memory: MemoryPort) -> str:
        """Do it, inside the transaction, and return the result for the model.

        Raises:
            ToolError: refused; what this call did so far is undone, other calls are not.
        """


class Peers(Protocol):
    """The other agents of the organisation, as a peer tool reaches them for one call.

    Every refusal is a `ToolError` written for the model.
    """

    async def ask(self, agent_id: str, text: str) -> Sequence[str]:
        """Send `text` to an agent's own thread, wait until its turn ends, and return what it said.

        Cancelling the caller cancels the turn.

        Raises:
            ToolError: unknown, the caller itself or one that waits for it, too deep a chain, busy
                or silent for too long, or its turn failed.
        """
        ...

    async def tell(self, agent_id: str, text: str) -> bool:
        """Send `text` without waiting for an answer. False: the agent is busy and gets it when it is free.

        Raises:
            ToolError: unknown, the caller itself, or too deep a chain.
        """
        ...

    async def tagged(self, match_all: Sequence[str], match_some: Sequence[str]) -> Sequence[str]:
        """Ids of other agents that have all tags of the one list and, if it is not empty, one of the other."""
        ...

    async def members(self) -> Sequence[str]:
        """Ids of the other agents of the caller's group.

        Raises:
            ToolError: it is in no group.
        """
        ...


class PeerTool(BuiltinTool):
    """A tool that talks to other agents."""

    tool_type: ClassVar[ToolType] = ToolType.MULTI_AGENT_CORE

    @abstractmethod
    async def run(self, args: JsonObject, peers: Peers) -> str:
        """Do it, outside any transaction, and return the result for the model. Arguments are checked already.

        Raises:
            ToolError: refused.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRun:
    """One execution that acts outside the database."""

    tool: Tool
    arguments: JsonObject
    """Checked against the schema."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets of the agent, and `LETTA_AGENT_ID`."""
    agent_id: str | None = None
    agent_state: JsonObject | None = field(default=None, repr=False)
    """What it is handed of the agent; None: it does not ask."""
    user_id: UserId | None = None
    """Whom it acts for: the agent's owner, or who asked for the call."""
    scopes: frozenset[str] | None = None
    """What the key that it is given may do; None: what programs usually may."""
    run: Run | None = None
    """The run it is part of; None: called outside any conversation."""
    timeout_s: float | None = None
    """None: the executor's own limit."""
    configured: bool = True
    """Whether the organisation may have settings for its sandbox."""


NETWORK_TAG: Final = "network"
"""Marks the tools that may use the network where not all may."""


class KeysOfCalls(Protocol):
    """Gives each call a key of its own to the server's API."""

    def issued(self, call: ToolRun, *, network: bool) -> AbstractContextManager[str]:
        """A key that is good until the context is left; `network`: also at the proxy."""
        ...


class ToolExecutor(Protocol):
    """Runs tools of some types. Never raises for what the tool did: that is an outcome."""

    async def run(self, call: ToolRun) -> ToolOutcome:
        """Execute; when the task is cancelled, whatever was started is killed.

        Raises:
            CancelledError: passed through after the clean-up.
        """
        ...

    async def aclose(self) -> None:
        """End everything that was started ahead of need."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """What the sandbox is told."""

    timeout_s: float = 180.0
    """Wall time of one call."""
    memory_bytes: int = 512 * 1024 * 1024
    output_bytes: int = 1024 * 1024
    """Most of stdout, stderr and result together."""
    processes: int = 64
    scratch_bytes: int = 64 * 1024 * 1024
    environment_bytes: int = 4 * 1024**3
    """Largest folder of installed requirements; a package can be a small archive of very much."""
    network: Literal["none", "tagged", "all"] = "none"
    """Which tools reach the network, through a proxy that leads to public addresses only."""
    data_dir: str = ""
    """Where environments for requirements are kept."""
    unsafe_subprocess: bool = False
    """Run without a sandbox where bubblewrap cannot run. Only for code you wrote yourself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxReport:
    """Whether the sandbox works here."""

    works: bool
    detail: str
    """The bubblewrap version, or what is missing and how to mend it."""

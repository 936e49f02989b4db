"""Which tools the model may call now, and what each call comes to."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import orjson
import structlog
from sqlalchemy import Connection

from reverie.auth.cipher import Cipher
from reverie.context.pairing import OpenCalls
from reverie.domain.agent import Agent
from reverie.domain.content import ToolCall, ToolReturn
from reverie.domain.errors import ModelError, NotFound, ToolError
from reverie.domain.ids import UserId, make_id
from reverie.domain.inputs import Request
from reverie.domain.json import JsonObject
from reverie.domain.message import MessageScope
from reverie.domain.run import Run
from reverie.domain.tool import Tool
from reverie.domain.trace import ToolTime
from reverie.loop.decide import executed
from reverie.loop.draft import Gate
from reverie.loop.handed import handed, store_edits, with_edits
from reverie.loop.library import Library
from reverie.loop.meaning import Meaning
from reverie.loop.memory import TransactionMemory
from reverie.loop.offer import tool_names
from reverie.loop.state import View
from reverie.models.base import ModelCatalogs
from reverie.storage import archives, passages, search
from reverie.storage.database import Database
from reverie.tools.arguments import parse_arguments
from reverie.tools.base import AGENT_ID, BuiltinTool, StateTool, ToolExecutor, ToolOutcome, ToolRun
from reverie.tools.limits import cut
from reverie.tools.rules import Executed, allowed_tools, args_override, requires_approval, violation

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Settled:
    """A call whose result is known."""

    call: ToolCall
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class _Deferred:
    """A call of a state tool, to be applied in the transaction that saves all results."""

    call: ToolCall
    tool: StateTool
    arguments: JsonObject
    prepared: object


Prepared: TypeAlias = _Settled | _Deferred


class Toolbox:
    """The tools of one turn. Built-in tools by name and the executor come from outside."""

    def __init__(
        self,
        *,
        request: Request | None = None,
        builtin: Mapping[str, BuiltinTool],
        executor: ToolExecutor,
        catalogs: ModelCatalogs,
        meaning: Meaning,
        cipher: Cipher,
        database: Database,
    ) -> None:
        """Without a `request` there are no tools of a client."""
        self._database = database
        self._meaning = meaning
        self._client_tools = {} if request is None else {spec.name: spec for spec in request.options.client_tools}
        self._builtin = builtin
        self._executor = executor
        self._catalogs = catalogs
        self._cipher = cipher
        self._clocked: dict[str, tuple[int, int]] = {}
        """By call: when it began, since 1970, and how long it took; both in nanoseconds."""

    def names(self, view: View) -> tuple[str, ...]:
        """All tools of the agent and of the client for this request."""
        return tool_names(view, self._client_tools)

    def is_gated(self, view: View, name: str) -> bool:
        """Whether a call of the tool needs an answer from a person or from the client."""
        if name in self._client_tools:
            return True
        if requires_approval(view.agent.tool_rules, name):
            return True
        if name in view.agent.approvals:
            return view.agent.approvals[name]
        tool = _find(view, name)
        return bool(tool is not None and tool.default_requires_approval)

    def gate(self, view: View, run: Run, name: str, before: Sequence[str]) -> Gate:
        """What a call of the tool, after those of `before` in the same reply, may do.

        Nobody is asked about a call that rules forbid: it will be refused.
        """
        if not self.is_gated(view, name):
            return "open"
        if self._refused_by_rules(view, name, _ahead(view, run, before)) is not None:
            return "shut"
        return "asks" if name in self._client_tools else "asks_once_checked"

    def is_hopeless(self, view: View, run: Run, call: ToolCall, before: Sequence[str]) -> bool:
        """Whether a whole call, after those of `before` in the same reply, would be refused whatever anybody answers.

        What a client is to run is checked against rules alone; arguments are its own affair.
        """
        history = _ahead(view, run, before)
        if call.name in self._client_tools:
            return self._refused_by_rules(view, call.name, history) is not None
        try:
            self._admit(view, replace(call, requires_approval=True), history)
        except ToolError:
            return True
        return False

    def as_rules_have_it(self, view: View, run: Run, call: ToolCall, before: Sequence[str] = ()) -> ToolCall:
        """`call`, after those of `before`, with the arguments that rules fix: who reads or allows it sees what runs."""
        fixed = args_override(view.agent.tool_rules, call.name, _ahead(view, run, before))
        return replace(call, arguments=_overridden(call.arguments, fixed)) if fixed else call

    async def prepare(self, view: View, run: Run, pending: OpenCalls) -> list[Prepared]:
        """Do everything that must happen outside a transaction, for all calls, in their order.

        Custom tools run here; calls of tools that allow it run side by side.
        """
        self._clocked.clear()
        history = list(executed(view.context, run.id))
        results: list[Prepared | None] = [None] * len(pending.calls)
        side_by_side: list[tuple[int, ToolCall, Tool, JsonObject]] = []
        for place, call in enumerate(pending.calls):
            settled = _answered(call, pending)
            if settled is not None:
                results[place] = _Settled(call, settled)
                history.append(Executed(name=call.name, value=settled.value))
                continue
            try:
                tool, arguments = self._admit(view, call, history)
            except ToolError as error:
                results[place] = _Settled(call, replace(ToolOutcome.error(str(error)), admitted=False))
                continue
            history.append(Executed(name=call.name, value=None))
            own = self._builtin.get(tool.name) if tool.is_builtin else None
            if isinstance(own, StateTool):
                with self._clock(call):
                    results[place] = await self._prepare_state_tool(view, call, own, arguments)
            elif tool.enable_parallel_execution:
                side_by_side.append((place, call, tool, arguments))
            else:
                outcome = await self._timed(view, run, call, tool, arguments)
                results[place] = _Settled(call, outcome)
                view = with_edits(view, outcome)
        if side_by_side:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    (place, call, group.create_task(self._timed(view, run, call, tool, arguments)))
                    for place, call, tool, arguments in side_by_side
                ]
            for place, call, task in tasks:
                results[place] = _Settled(call, task.result())
        return [item for item in results if item is not None]

    def apply(
        self,
        c: Connection,
        view: View,
        run: Run,
        prepared: Sequence[Prepared],
        now: datetime,
        *,
        asked_at: datetime | None = None,
    ) -> list[ToolReturn]:
        """Apply state tools in call order, and return all results. Runs inside the results' transaction.

        `asked_at`: when the model asked for them, where that was before `view` was read.
        """
        memory = TransactionMemory(c, view, run=run, now=now, asked_at=asked_at)
        returns: list[ToolReturn] = []
        for item in prepared:
            if isinstance(item, _Settled):
                outcome = store_edits(c, memory, item.call.name, item.outcome)
            else:
                with self._clock(item.call):
                    outcome = _apply_one(c, memory, item)
            tool = _find(view, item.call.name)
            if tool is not None:
                outcome = cut(outcome, tool.return_char_limit)
            returns.append(
                ToolReturn(
                    tool_call_id=item.call.id,
                    name=item.call.name,
                    status=outcome.status,
                    content=outcome.content,
                    stdout=outcome.stdout,
                    stderr=outcome.stderr,
                    value=outcome.value,
                    admitted=outcome.admitted,
                )
            )
        return returns

    def times(self, returns: Sequence[ToolReturn]) -> tuple[ToolTime, ...]:
        """When the calls ran that were prepared last; those that never ran are not among them."""
        return tuple(
            ToolTime(
                tool_call_id=item.tool_call_id,
                name=item.name,
                status=item.status,
                start_ns=self._clocked[item.tool_call_id][0],
                took_ns=self._clocked[item.tool_call_id][1],
            )
            for item in returns
            if item.tool_call_id in self._clocked
        )

    @contextmanager
    def _clock(self, call: ToolCall) -> Iterator[None]:
        start_ns, before_ns = self._clocked.get(call.id, (time.time_ns(), 0))
        began_ns = time.monotonic_ns()
        try:
            yield
        finally:
            self._clocked[call.id] = (start_ns, before_ns + time.monotonic_ns() - began_ns)

    async def by_hand(self, view: View, tool: StateTool, arguments: JsonObject, now: datetime) -> ToolOutcome:
        """Run a state tool that a caller asks for, outside any turn, in a transaction of its own."""
        call = ToolCall(id=make_id("call"), name=tool.spec.name, arguments=orjson.dumps(arguments).decode())
        prepared = await self._prepare_state_tool(view, call, tool, arguments)
        if isinstance(prepared, _Settled):
            return prepared.outcome
        return await self._database.write(
            lambda c: _apply_one(c, TransactionMemory(c, view, run=None, now=now), prepared)
        )

    async def keep(self, view: View, tool: Tool, outcome: ToolOutcome, now: datetime) -> ToolOutcome:
        """Store what a tool that was run by hand changed in its agent's memory."""
        if not outcome.edits:
            return outcome
        return await self._database.write(
            lambda c: store_edits(c, TransactionMemory(c, view, run=None, now=now), tool.name, outcome)
        )

    async def embed(self, view: View, text: str) -> Sequence[float] | None:
        """The vector of a text for the agent's own archive; None where it has no model or that fails."""
        agent = view.agent
        attached = await self._database.read(lambda c: archives.of_agent(c, agent.id))
        return await self._embed(agent, attached[0].embedding if attached else agent.embedding, text)

    async def embed_for_passages(self, view: View, text: str) -> dict[str, Sequence[float]]:
        """The vectors to search with by embedding model: of the words that tell something in archives of that model."""
        agent = view.agent
        wishes = await self._database.read(lambda c: passages.wishes(c, archives.of_agent(c, agent.id), text))
        made = {handle: await self._embed(agent, handle, wish) for handle, wish in wishes.items()}
        return {handle: vector for handle, vector in made.items() if vector is not None}

    async def embed_for_messages(self, view: View, text: str) -> Sequence[float] | None:
        """The vector to search messages with: of the words that tell something among them."""
        agent = view.agent
        scope = MessageScope(agent_id=agent.id)
        told = await self._database.read(lambda c: search.message_wish(c, agent.organization_id, text, scope))
        try:
            embedder = await (await self._catalogs.of(agent.organization_id)).default_embedder()
            if embedder is None:
                return None
            await self._meaning.catch_up(embedder, agent.organization_id, agent.id)
            return (await embedder.embed([told]))[0]
        except (ModelError, NotFound) as error:
            log.warning("embedding_failed", agent_id=agent.id, error=str(error))
            return None

    async def _embed(self, agent: Agent, handle: str | None, text: str) -> Sequence[float] | None:
        if handle is None:
            return None
        try:
            embedder = await (await self._catalogs.of(agent.organization_id)).embedder(handle)
            return (await embedder.embed([text]))[0]
        except (ModelError, NotFound) as error:
            # Text search carries on alone; a failing embedder must not fail the agent's memory.
            log.warning("embedding_failed", agent_id=agent.id, model=handle, error=str(error))
            return None

    def library(self, view: View) -> Library:
        """The files of the agent's folders."""
        return Library(self._database, self._catalogs, view.agent)

    def _admit(self, view: View, call: ToolCall, history: Sequence[Executed]) -> tuple[Tool, JsonObject]:
        refusal = self._refused_by_rules(view, call.name, history)
        if refusal is not None:
            raise ToolError(refusal)
        tool = _find(view, call.name)
        arguments: JsonObject = {}
        if tool is not None:
            given = _overridden(call.arguments, args_override(view.agent.tool_rules, call.name, tuple(history)))
            arguments = parse_arguments(given, tool.spec)
        if self.is_gated(view, call.name) and not call.requires_approval:
            # Nobody was asked, because it was hopeless when it was made; what ran beside it may have changed that.
            raise ToolError(f"{call.name} could not be run where it stood in your reply. Call it again by itself.")
        if tool is None:
            raise ToolError(f"{call.name} is run by the client, which allowed the call and sent no result of it")
        return tool, arguments

    def _refused_by_rules(self, view: View, name: str, history: Sequence[Executed]) -> str | None:
        """None where a call may be made after `history`, as far as rules go; else what the model is told."""
        names = self.names(view)
        if name not in names:
            return f"there is no tool {name!r}; your tools are: {', '.join(names) or 'none'}"
        rules = view.agent.tool_rules
        allowed = allowed_tools(rules, names, tuple(history))
        if allowed.names is not None and name not in allowed.names:
            return violation(rules, name, allowed)
        return None

    async def _prepare_state_tool(self, view: View, call: ToolCall, tool: StateTool, arguments: JsonObject) -> Prepared:
        try:
            return _Deferred(call, tool, arguments, await tool.prepare(arguments, _Services(self, view)))
        except ToolError as error:
            return _Settled(call, ToolOutcome.error(str(error)))

    async def _timed(self, view: View, run: Run, call: ToolCall, tool: Tool, arguments: JsonObject) -> ToolOutcome:
        with self._clock(call):
            return await self._execute(view, run, tool, arguments)

    async def _execute(self, view: View, run: Run, tool: Tool, arguments: JsonObject) -> ToolOutcome:
        agent = view.agent
        environment = {name: self._cipher.decrypt(sealed, agent.id) for name, sealed in agent.sealed_secrets.items()}
        environment[AGENT_ID] = agent.id
        try:
            return await self._executor.run(
                ToolRun(
                    tool=tool,
                    arguments=arguments,
                    environment=environment,
                    agent_id=agent.id,
                    agent_state=handed(tool, view.details),
                    user_id=None if agent.created_by_id is None else UserId(agent.created_by_id),
                    run=run,
                    configured=view.details.sandbox_configured,
                )
            )
        except ToolError as error:
            return ToolOutcome.error(str(error))
        except Exception:  # the border around a tool: whatever breaks is the tool's result
            log.exception("tool_crashed", tool=tool.name, agent_id=agent.id)
            return ToolOutcome.error(f"the tool {tool.name!r} could not be run because of an error inside the server")


@dataclass(frozen=True, slots=True)
class _Services:
    toolbox: Toolbox
    view: View

    @property
    def library(self) -> Library:
        return self.toolbox.library(self.view)

    async def embed(self, text: str) -> Sequence[float] | None:
        return await self.toolbox.embed(self.view, text)

    async def embed_for_passages(self, text: str) -> Mapping[str, Sequence[float]]:
        return await self.toolbox.embed_for_passages(self.view, text)

    async def embed_for_messages(self, text: str) -> Sequence[float] | None:
        return await self.toolbox.embed_for_messages(self.view, text)


def _ahead(view: View, run: Run, before: Sequence[str]) -> tuple[Executed, ...]:
    """What will have run in the turn when the calls of `before` have."""
    return (*executed(view.context, run.id), *(Executed(name=name) for name in before))


def _answered(call: ToolCall, pending: OpenCalls) -> ToolOutcome | None:
    """What a person or the client settled already; None: the call has to be run."""
    given = pending.client_returns.get(call.id)
    if given is not None:
        return ToolOutcome(
            status=given.status, content=given.content, stdout=given.stdout, stderr=given.stderr, value=given.text
        )
    decision = pending.decisions.get(call.id)
    if decision is not None and not decision.approve:
        reason = f": {decision.reason}" if decision.reason else ""
        return ToolOutcome.error(f"The user denied this call{reason}. It was not run.")
    return None


def _apply_one(c: Connection, memory: TransactionMemory, item: _Deferred) -> ToolOutcome:
    memory.acting_as(item.call.name)
    try:
        with c.begin_nested():
            return ToolOutcome.success(item.tool.apply(item.arguments, item.prepared, memory))
    except ToolError as error:
        return ToolOutcome.error(str(error))


def _overridden(arguments: str, fixed: JsonObject | None) -> str:
    """The model's arguments with those that a rule fixes; malformed text is left for the check to refuse."""
    if not fixed:
        return arguments
    try:
        given = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return arguments
    return orjson.dumps({**given, **fixed}).decode() if isinstance(given, dict) else arguments


def _find(view: View, name: str) -> Tool | None:
    return next((tool for tool in view.details.tools if tool.name == name), None)

"""Whatever a model says, whatever breaks and wherever a turn is stopped: the agent goes on.

The engine, the loop and the database are the real ones; the model is a script that hypothesis writes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from tests.support.databases import database_urls
from tests.support.operations import Everyone, NoMcp

from reverie.auth.cipher import Cipher
from reverie.auth.keys import LOCAL_CALLER, TokenHasher
from reverie.context.pairing import lost_calls, open_calls
from reverie.context.tokens import estimate_prompt
from reverie.domain.agent import AgentDraft
from reverie.domain.block import BlockDraft
from reverie.domain.clock import utc_now
from reverie.domain.content import ToolCall, ToolReturn
from reverie.domain.errors import (
    ApprovalPending,
    ModelAuthFailed,
    ModelContextOverflow,
    ModelError,
    ModelStreamCut,
)
from reverie.domain.events import RunEnded
from reverie.domain.ids import ConversationId
from reverie.domain.inputs import ApprovalInput, Request, SayInput, TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.message import Message, ToolReturnBody, calls_of, text_parts
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.domain.run import Run
from reverie.domain.tool import ToolDraft
from reverie.loop.calibration import TokenRatios
from reverie.loop.deps import LoopDeps
from reverie.loop.meaning import Meaning
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    ChatModel,
    Chunk,
    Embedder,
    FinishChunk,
    Prompt,
    ReasoningChunk,
    TextChunk,
    ToolTurn,
    UsageChunk,
)
from reverie.models.retry import RetryPolicy
from reverie.operations import agents, tools
from reverie.operations.base import Operations
from reverie.runs.connections import Connections
from reverie.runs.engine import EngineOptions, RunEngine
from reverie.runs.talk import GroupTalks
from reverie.storage import conversations, messages, runs
from reverie.storage.database import Database, DatabaseOptions
from reverie.tools.base import ToolOutcome, ToolRun
from reverie.tools.builtin import BUILTIN

INFO: Final = ModelInfo(
    handle="script/one",
    name="one",
    provider_name="script",
    provider_type="openai",
    endpoint=None,
    context_window=4_096,
)
Failure: TypeAlias = type[ModelError]


@dataclass(frozen=True)
class Said:
    """One reply: what is said, what is called, and how it ends."""

    text: str = ""
    calls: tuple[tuple[str, str, str | None], ...] = ()
    """Name, arguments as text, id."""
    reasoning: str = ""
    finish: str = "stop"
    failure: Failure | None = None
    stopped_at: int | None = None
    """Chunk at which the run is cancelled from outside."""


@dataclass
class ScriptedModel:
    """Plays `script`, then only says that it is done; refuses requests that a provider would refuse."""

    script: list[Said] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    on_stop: Callable[[], None] = lambda: None
    info: ModelInfo = INFO
    reasoning_origin: str = "script"

    def preview(self, prompt: Prompt) -> JsonObject:
        return {}

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        check_acceptable(prompt)
        assert estimate_prompt(prompt) < INFO.context_window, "the request does not fit"
        self.prompts.append(prompt)
        said = self.script.pop(0) if self.script else Said(text="done")
        chunks = list(_chunks(said))
        for place, chunk in enumerate(chunks):
            if said.stopped_at == place:
                self.on_stop()
            await asyncio.sleep(0)
            if said.failure is not None and place == len(chunks) - 1:
                raise said.failure("scripted")
            yield chunk


def _chunks(said: Said) -> list[Chunk]:
    chunks: list[Chunk] = [ReasoningChunk(text=said.reasoning, signature="sig")] if said.reasoning else []
    chunks += [TextChunk(text=piece) for piece in (said.text[:3], said.text[3:]) if piece]
    for index, (name, arguments, call_id) in enumerate(said.calls):
        half = len(arguments) // 2
        chunks.append(CallChunk(index=index, id=call_id, name=name, arguments=arguments[:half]))
        chunks.append(CallChunk(index=index, arguments=arguments[half:]))
    chunks.append(UsageChunk(prompt_tokens=10, completion_tokens=2))
    chunks.append(FinishChunk(reason=said.finish))  # type: ignore[arg-type]
    return chunks


def check_acceptable(prompt: Prompt) -> None:
    """What every provider insists on: each call has exactly one result, right behind it."""
    seen: set[str] = set()
    turns = list(prompt.turns)
    for place, turn in enumerate(turns):
        if isinstance(turn, AssistantTurn):
            calls = [part.id for part in turn.parts if isinstance(part, ToolCall)]
            assert not seen & set(calls), "a call id came twice"
            assert len(calls) == len(set(calls))
            seen |= set(calls)
            following = turns[place + 1] if place + 1 < len(turns) else None
            results = [item.tool_call_id for item in following.returns] if isinstance(following, ToolTurn) else []
            assert results == calls, "a call without its result"
        elif isinstance(turn, ToolTurn):
            assert place and isinstance(turns[place - 1], AssistantTurn)


@dataclass
class OneModel:
    """A catalog of one model and no embedder."""

    model: ScriptedModel

    async def list_models(self) -> list[ModelInfo]:
        return [INFO]

    async def list_embedders(self) -> list[EmbedderInfo]:
        return []

    async def chat_model(self, handle: str) -> ChatModel:
        return self.model

    async def embedder(self, handle: str) -> Embedder:
        raise AssertionError("there is none")

    async def default_embedder(self) -> Embedder | None:
        return None


class Echo:
    """Runs every custom tool at once; fails when told to."""

    async def run(self, call: ToolRun) -> ToolOutcome:
        await asyncio.sleep(0)
        if call.arguments.get("text") == "crash":
            raise RuntimeError("inside the executor")
        return ToolOutcome.success(str(call.arguments.get("text")))

    async def aclose(self) -> None:
        return None


ECHO_SOURCE: Final = 'def {name}(text: str) -> str:\n    """Echo."""\n    return text\n'

_arguments = st.sampled_from(
    [
        '{"text": "a"}',
        '{"text": "' + "long " * 3_000 + '"}',
        '{"text": "crash"}',
        "{}",
        "not json",
        '{"text": 1}',
        "[]",
        "",
    ]
)
_memory = st.sampled_from(['{"label": "human", "new_string": "x"}', '{"label": "nope", "new_string": "x"}', "{"])
_call = st.one_of(
    st.tuples(st.sampled_from(["echo", "gated", "unknown", ""]), _arguments, st.sampled_from([None, "call_0", "c1"])),
    st.tuples(st.just("memory_insert"), _memory, st.sampled_from([None, "call_0"])),
)
_said = st.builds(
    Said,
    text=st.sampled_from(["", "hi", "a longer answer " * 40, "a giant answer " * 900]),
    calls=st.lists(_call, max_size=3).map(tuple),
    reasoning=st.sampled_from(["", "hm"]),
    finish=st.sampled_from(["stop", "stop", "stop", "length", "content_filter"]),
    failure=st.sampled_from([None, None, None, None, ModelAuthFailed, ModelStreamCut, ModelContextOverflow]),
    stopped_at=st.one_of(st.none(), st.none(), st.integers(0, 4)),
)
_turn = st.tuples(st.lists(_said, max_size=4), st.sampled_from(["approve", "deny", "return"]), st.integers(1, 4))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=st.lists(_turn, min_size=1, max_size=5))
def test_no_history_ever_stops_an_agent(database: str, turns: list[tuple[list[Said], str, int]]) -> None:
    with database_urls(database) as url:
        asyncio.run(asyncio.wait_for(_live_through(url, turns), 60))


async def _live_through(url: str, turns: Sequence[tuple[list[Said], str, int]]) -> None:
    async with AsyncExitStack() as stack:
        database = Database(DatabaseOptions(url=url))
        stack.push_async_callback(database.close)
        model = ScriptedModel()
        ops = _operations(database, model)
        await ops.runs.start()
        stack.push_async_callback(ops.runs.close)
        thread = await _agent(ops)
        for script, answer, max_steps in turns:
            model.script = list(script)
            stop = asyncio.Event()
            model.on_stop = stop.set
            await _one_turn(ops, thread, answer, max_steps, stop)
            await _check_stored(ops, thread)
        model.script = []
        await _settle(ops, thread)
        handle = await ops.runs.send(LOCAL_CALLER.organization_id, thread, _say("still there?", 5))
        ended = [item async for _, item in handle.events()][-1]
        assert isinstance(ended, RunEnded)
        assert ended.stop_reason == "end_turn", ended


async def _one_turn(ops: Operations, thread: ConversationId, answer: str, max_steps: int, stop: asyncio.Event) -> None:
    try:
        handle = await ops.runs.send(LOCAL_CALLER.organization_id, thread, _say("hello", max_steps))
    except ApprovalPending:
        handle = await ops.runs.send(LOCAL_CALLER.organization_id, thread, await _answer(ops, thread, answer))
    canceller = asyncio.create_task(_cancel_when(ops, handle.run, stop))
    events = [item async for _, item in handle.events()]
    canceller.cancel()
    ends = [item for item in events if isinstance(item, RunEnded)]
    assert len(ends) == 1
    assert events[-1] is ends[0]
    event(f"stop reason {ends[0].stop_reason}")


async def _cancel_when(ops: Operations, run: Run, stop: asyncio.Event) -> None:
    await stop.wait()
    await ops.runs.cancel(run.organization_id, run.id)


async def _answer(ops: Operations, thread: ConversationId, answer: str) -> Request:
    context = await ops.database.read(lambda c: messages.load_context(c, thread))
    waiting = open_calls(context)
    assert waiting is not None
    if answer == "return":
        given_back = tuple(
            ToolReturn(tool_call_id=call.id, name=call.name, status="success", content=text_parts("from the client"))
            for call in waiting.undecided
        )
        return Request(inputs=(ApprovalInput(returns=given_back),), options=TurnOptions(max_steps=3))
    return Request(inputs=(ApprovalInput(approve_all=answer == "approve"),), options=TurnOptions(max_steps=3))


async def _settle(ops: Operations, thread: ConversationId) -> None:
    for _ in range(3):
        context = await ops.database.read(lambda c: messages.load_context(c, thread))
        waiting = open_calls(context)
        if waiting is None or not waiting.undecided:
            return
        handle = await ops.runs.send(
            LOCAL_CALLER.organization_id, thread, Request(inputs=(ApprovalInput(approve_all=False),))
        )
        async for _ in handle.events():
            pass


async def _check_stored(ops: Operations, thread: ConversationId) -> None:
    def look(c: Connection) -> tuple[list[Message], str | None, list[Run]]:
        conversation = conversations.get(c, LOCAL_CALLER.organization_id, thread)
        live = runs.active_of(c, LOCAL_CALLER.organization_id, conversation_id=thread)
        return messages.load_context(c, thread), conversation.active_run_id, live

    context, holder, live = await ops.database.read(look)
    assert holder is None
    assert live == []
    assert lost_calls(context, waiting=open_calls(context)) == ()
    returned = [item.tool_call_id for m in context if isinstance(m.body, ToolReturnBody) for item in m.body.returns]
    assert len(returned) == len(set(returned)), "a call was answered twice"
    called = [call.id for m in context for call in calls_of(m.body)]
    assert set(returned) <= set(called)
    waiting = open_calls(context)
    assert waiting is None or waiting.undecided, "calls that may run were left lying"


def _say(text: str, max_steps: int) -> Request:
    return Request(inputs=(SayInput(role="user", parts=text_parts(text)),), options=TurnOptions(max_steps=max_steps))


def _operations(database: Database, model: ScriptedModel) -> Operations:
    cipher = Cipher(bytes(32))
    catalog = OneModel(model)
    ratios = TokenRatios(database)
    engine = RunEngine(
        LoopDeps(
            database=database,
            ratios=ratios,
            catalogs=Everyone(catalog),
            meaning=Meaning(database=database),
            builtin=BUILTIN,
            executor=Echo(),
            cipher=cipher,
            clock=utc_now,
            retries=RetryPolicy(attempts=1),
            fault=lambda _name: None,
            draining=lambda: False,
        ),
        EngineOptions(),
        lambda _error: 500,
    )
    return Operations(
        database=database,
        ratios=ratios,
        catalogs=Everyone(catalog),
        meaning=Meaning(database=database),
        runs=engine,
        talks=GroupTalks(engine, database, lambda _error: 500),
        cipher=cipher,
        hasher=TokenHasher(bytes(32)),
        connections=Connections(database, utc_now, alone=True),
        executor=Echo(),
        mcp=NoMcp(),
        clock=utc_now,
        default_model=INFO.handle,
    )


async def _agent(ops: Operations) -> ConversationId:
    own = [
        await tools.create(
            ops,
            LOCAL_CALLER,
            ToolDraft(source_code=ECHO_SOURCE.format(name=name), default_requires_approval=name == "gated"),
        )
        for name in ("echo", "gated")
    ]
    details = await agents.create(
        ops,
        LOCAL_CALLER,
        AgentDraft(
            # What is always there takes more than half of the window.
            blocks=(BlockDraft(label="human", limit=40), BlockDraft(label="log", value="entry " * 600)),
            tool_ids=tuple(tool.id for tool in own),
        ),
    )
    return ConversationId(details.agent.id)

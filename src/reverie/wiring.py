"""Builds every part of the server once, in order, and takes it down in reverse.

This is the only place that names adapters, executors and tools; every other room knows their
contracts.
"""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any, Final

import structlog
from sqlalchemy.engine import make_url
from starlette.applications import Starlette

from reverie.api.app import create_app
from reverie.api.context import ApiOptions
from reverie.api.errors import status_of
from reverie.api.security import SecurityOptions
from reverie.api.wire.runs import run_outcome
from reverie.auth.call_keys import CallKeys
from reverie.auth.keys import Gate
from reverie.auth.secrets import ServerSecrets, load_secrets
from reverie.background.approvals import ApprovalOptions, ApprovalTimeouts
from reverie.background.batches import Batches
from reverie.background.callbacks import Callbacks
from reverie.background.ingest import Ingest
from reverie.background.schedules import ScheduleOptions, Schedules
from reverie.background.sleeptime import Sleeptime
from reverie.background.sweep import sweep
from reverie.background.traces import TraceKeeper, TraceOptions
from reverie.background.vectors import Vectors
from reverie.config import Settings
from reverie.documents.reader import SubprocessReader
from reverie.domain.clock import utc_now
from reverie.domain.errors import Unavailable
from reverie.domain.ids import OrganizationId
from reverie.domain.tool import ToolType
from reverie.faults import crash_point
from reverie.loop.calibration import TokenRatios
from reverie.loop.deps import LoopDeps
from reverie.loop.meaning import Meaning
from reverie.loop.sandboxing import ConfiguredExecutor
from reverie.models.catalog import Catalog
from reverie.models.catalogs import Catalogs
from reverie.models.retry import RetryPolicy
from reverie.operations.base import Operations, nothing
from reverie.operations.keys import first_key
from reverie.operations.known_keys import KeysInDatabase
from reverie.operations.mcp_access import StoredMcpServers
from reverie.operations.providers import load_own
from reverie.runs.connections import Connections
from reverie.runs.engine import EngineOptions, RunEngine
from reverie.runs.peers import PeerExecutor, PeerOptions
from reverie.runs.talk import GroupTalks
from reverie.storage.bells import Chore
from reverie.storage.database import Database
from reverie.storage.file_lock import hold_file
from reverie.storage.migrate import bring_up_to_date
from reverie.storage.search import vectors_missing
from reverie.tools.base import ToolExecutor
from reverie.tools.builtin import BUILTIN, PEER_TOOLS
from reverie.tools.executors.by_type import ExecutorByType
from reverie.tools.executors.door import Door
from reverie.tools.executors.mcp import McpConnections, McpExecutor
from reverie.tools.executors.online import OnlineExecutor
from reverie.tools.executors.sandbox import SandboxExecutor
from reverie.web.proxy import GuardedProxy

log = structlog.get_logger(__name__)

OWN_PROVIDERS_FRESH_S: Final = 5.0
"""How long one process may go on with what another has changed about an organisation's providers, bells unheard."""
_SWEEP_INTERVAL_S: Final = 1.0
"""Between looks for processes whose lease has passed: their runs are taken over that much later at most."""
_INGEST_INTERVAL_S: Final = 5.0
"""Between looks for files that another server left, or that wait for a second try; uploads ring at once."""
_VECTORS_AFTER_S: Final = 1.0
"""After the last turn: vectors that messages want are no hurry, and turns come first."""


@dataclass(slots=True)
class Server:
    """The parts that `cli` works with."""

    app: Any
    """The ASGI application."""
    operations: Operations
    first_key: str | None
    """The key that was made at this start because none was there; to be shown once."""
    door: socket.socket | None
    """Where sandboxed tools reach the API; whoever serves `app` listens here too, and closes it."""
    _engine: RunEngine

    async def drain(self, timeout_s: float) -> None:
        """Start no more runs and let running ones reach their next commit."""
        await self._engine.drain(timeout_s)


@asynccontextmanager
async def build(settings: Settings, *, serves: bool = True) -> AsyncIterator[Server]:
    """Open everything, floor by floor, yield the server, close everything. A worker serves nobody but its tools.

    Raises:
        Unavailable: the database is newer than this program, held by another server, or out of reach, or it is a
            file, which only one process can work on.
    """
    if make_url(settings.database_options().url).get_backend_name() == "sqlite":
        _require_one_process(settings, serves)
    async with AsyncExitStack() as stack:
        stored = await _open_storage(settings, stack)
        catalogs = _open_models(settings, stack, stored)
        tools = await _open_tools(settings, stack, stored)
        runs = await _start_runs(settings, stack, stored, catalogs, tools)
        ring = await _start_background(settings, stack, stored, catalogs, runs, tools.sandbox)
        operations = _make_operations(settings, stored, catalogs, tools, runs, ring)
        wants_first = serves and settings.keys_required and not settings.api_key
        made = await first_key(operations, stored.secrets.hasher) if wants_first else None
        app = _make_app(settings, stored, tools, operations)
        await tools.sandbox.start()
        runs.engine.work()
        yield Server(app, operations, made, tools.listener, runs.engine)


def _require_one_process(settings: Settings, serves: bool) -> None:
    remedy = "give a database with --database-url postgresql://… to work with several processes"
    if not serves:
        raise Unavailable(f"`reverie worker` needs PostgreSQL; {remedy}, or run `reverie serve`, which works as well")
    if not settings.workers:
        raise Unavailable(f"REVERIE_WORKERS is 0 and no other process can work on a database file; {remedy}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """Floor 1 and 2: what lasts, and what opens it."""

    database: Database
    secrets: ServerSecrets
    ratios: TokenRatios

    @property
    def alone(self) -> bool:
        """No other process has the database open."""
        return self.database.sqlite_path is not None


async def _open_storage(settings: Settings, stack: AsyncExitStack) -> _Stored:
    secrets = load_secrets(settings.data_dir, settings.encryption_key)
    database = Database(settings.database_options())
    stack.push_async_callback(database.close)
    if database.sqlite_path is not None:
        stack.enter_context(hold_file(database.sqlite_path))
    await bring_up_to_date(settings.database_options(), lambda step: log.info("schema", step=step))
    if (lacking := await database.read(vectors_missing)) is not None:
        log.warning("search", lacking=lacking)
    return _Stored(database=database, secrets=secrets, ratios=TokenRatios(database))


def _open_models(settings: Settings, stack: AsyncExitStack, stored: _Stored) -> Catalogs:
    catalog = Catalog(settings.model_options())
    stack.push_async_callback(catalog.aclose)
    catalogs = Catalogs(
        catalog,
        settings.model_options(),
        partial(load_own, stored.database, stored.secrets.cipher),
        web=settings.web_options(),
        fresh_s=inf if stored.alone else OWN_PROVIDERS_FRESH_S,
    )
    stack.push_async_callback(catalogs.aclose)
    return catalogs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """What runs tools, and how sandboxes reach the API."""

    executor: ToolExecutor
    sandbox: SandboxExecutor
    peers: PeerExecutor
    mcp: McpConnections
    call_keys: CallKeys
    listener: socket.socket | None


async def _open_tools(settings: Settings, stack: AsyncExitStack, stored: _Stored) -> _Tools:
    database, cipher = stored.database, stored.secrets.cipher
    door, call_keys = Door(settings.data_dir), CallKeys()
    stack.callback(door.close)
    listener = door.listen()
    if listener is not None:
        stack.callback(listener.close)
    if door.proxy is not None and settings.tool_network != "none":
        public = replace(settings.web_options(), allow_private=False)
        await stack.enter_async_context(GuardedProxy(door.proxy, public, call_keys.may_go_out))
    sandbox = SandboxExecutor(settings.sandbox_options(), environment=os.environ, door=door, keys=call_keys)
    stack.push_async_callback(sandbox.aclose)
    waits = PeerOptions(busy_timeout_s=settings.peer_busy_timeout_s, reply_timeout_s=settings.peer_reply_timeout_s)
    peers = PeerExecutor(PEER_TOOLS, database, waits)
    directory = StoredMcpServers(database, cipher)
    mcp = McpConnections(settings.mcp_options(), settings.web_options(), directory)
    stack.push_async_callback(mcp.aclose)
    executor = ExecutorByType(
        ConfiguredExecutor(sandbox, database, cipher, limit_s=settings.tool_timeout_s),
        {
            ToolType.MULTI_AGENT_CORE: peers,
            ToolType.BUILTIN: OnlineExecutor(settings.online_options(), settings.web_options(), sandbox),
            ToolType.EXTERNAL_MCP: McpExecutor(mcp, directory),
        },
    )
    return _Tools(executor=executor, sandbox=sandbox, peers=peers, mcp=mcp, call_keys=call_keys, listener=listener)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """Floor 4: what drives runs, and what listens to their ends from the first one on."""

    engine: RunEngine
    traces: TraceKeeper | None
    callbacks: Callbacks
    talks: GroupTalks
    meaning: Meaning
    fault: Callable[[str], None]


async def _start_runs(
    settings: Settings, stack: AsyncExitStack, stored: _Stored, catalogs: Catalogs, tools: _Tools
) -> _Runs:
    database, cipher = stored.database, stored.secrets.cipher
    drain, fault = _Drain(), crash_point(settings.crash_at)
    traces: TraceKeeper | None = None
    if settings.trace_days:
        keeper = TraceKeeper(database, cipher, utc_now, TraceOptions(days=settings.trace_days))
        traces = await stack.enter_async_context(keeper.running())
    meaning = Meaning(database=database, enabled=settings.message_vectors is not False)
    deps = LoopDeps(
        database=database,
        catalogs=catalogs,
        builtin=BUILTIN,
        executor=tools.executor,
        meaning=meaning,
        cipher=cipher,
        ratios=stored.ratios,
        clock=utc_now,
        retries=RetryPolicy(),
        fault=fault,
        draining=drain,
        keep_exchange=None if traces is None else traces.keep,
    )
    options = EngineOptions(
        when_busy=settings.busy_policy,
        lease_s=settings.lease_s,
        attempts=settings.run_attempts,
        drain_timeout_s=settings.drain_timeout_s,
        alone=stored.alone,
        max_depth=settings.peer_depth,
        workers=settings.workers,
    )
    engine = RunEngine(deps, options, status_of)
    callbacks = Callbacks(database, stored.secrets.signer, utc_now, settings.web_options(), run_outcome)
    engine.tell(lambda run, _: callbacks.ring() if run.callback_url else None)
    drain.asks = lambda: engine.draining
    tools.peers.bind(engine)
    _hear_of_providers(engine, catalogs)
    await engine.start()
    stack.push_async_callback(engine.close)
    talks = GroupTalks(engine, database, status_of)
    stack.push_async_callback(talks.close)
    return _Runs(engine=engine, traces=traces, callbacks=callbacks, talks=talks, meaning=meaning, fault=fault)


def _hear_of_providers(engine: RunEngine, catalogs: Catalogs) -> None:
    """Let catalogs know what other processes change; and that they would know, since the own bell is heard as well."""
    engine.bells.on("providers", lambda name: catalogs.forget(None if name is None else OrganizationId(name)))
    engine.bells.on("workers", lambda name: catalogs.hear() if name == engine.worker_id else None)


async def _start_background(
    settings: Settings,
    stack: AsyncExitStack,
    stored: _Stored,
    catalogs: Catalogs,
    runs: _Runs,
    sandbox: SandboxExecutor,
) -> Callable[[Chore], None]:
    """Start what works without a request; returns what operations ring, for work here or in other processes."""
    database, engine = stored.database, runs.engine
    # After the engine has ended what dead processes left, so that those callbacks are seen at once.
    await stack.enter_async_context(runs.callbacks.running())
    if not stored.alone:
        await stack.enter_async_context(sweep(engine, min(settings.lease_s, _SWEEP_INTERVAL_S)))
    if not settings.workers:
        return partial(engine.bells.ring_elsewhere, "work")
    batches = Batches(database, engine, utc_now, on_end=runs.callbacks.ring)
    await stack.enter_async_context(batches.running())
    reader = SubprocessReader(settings.document_options(), sandbox)
    ingest = Ingest(database, reader, catalogs, worker_id=engine.worker_id, clock=utc_now, fault=runs.fault)
    rounds = await stack.enter_async_context(ingest.rounds(_INGEST_INTERVAL_S))
    vectors = Vectors(
        database,
        catalogs,
        worker_id=engine.worker_id,
        of_all_messages=settings.message_vectors is True,
        is_quiet=lambda: engine.is_quiet,
        fault=runs.fault,
    ).rounds()
    await stack.enter_async_context(vectors)
    of_all = settings.message_vectors is True
    engine.tell(lambda _, agent: vectors.ring_in(_VECTORS_AFTER_S) if of_all or agent.finds_by_meaning else None)
    await stack.enter_async_context(Sleeptime(engine, database, settings.sleeptime_interval_s))
    limit = ApprovalOptions(timeout_s=settings.approval_timeout_s)
    await stack.enter_async_context(ApprovalTimeouts(database, engine, utc_now, limit).running())
    due = ScheduleOptions(grace_s=settings.schedule_grace_s)
    schedules = await stack.enter_async_context(Schedules(database, engine, utc_now, due))
    rings: dict[Chore, Callable[[], None]] = {
        "batches": batches.ring,
        "ingest": rounds.ring,
        "schedules": schedules.ring,
        "vectors": vectors.ring,
    }

    def hear(name: str | None) -> None:
        for known, ring in rings.items():
            if name in (known, None):
                ring()

    engine.bells.on("work", hear)
    return partial(engine.bells.ring, "work")


def _make_operations(
    settings: Settings, stored: _Stored, catalogs: Catalogs, tools: _Tools, runs: _Runs, ring: Callable[[Chore], None]
) -> Operations:
    return Operations(
        database=stored.database,
        catalogs=catalogs,
        ratios=stored.ratios,
        meaning=runs.meaning,
        runs=runs.engine,
        talks=runs.talks,
        cipher=stored.secrets.cipher,
        hasher=stored.secrets.hasher,
        connections=Connections(stored.database, utc_now, alone=stored.alone),
        executor=tools.executor,
        mcp=tools.mcp,
        clock=utc_now,
        ring=ring,
        settle_traces=nothing if runs.traces is None else runs.traces.flush,
        default_model=settings.default_model,
        approval_timeout_s=settings.approval_timeout_s,
        max_file_bytes=settings.file_max_bytes,
    )


def _make_app(settings: Settings, stored: _Stored, tools: _Tools, operations: Operations) -> Starlette:
    gate = Gate(
        required=settings.keys_required,
        hasher=stored.secrets.hasher,
        store=KeysInDatabase(stored.database),
        configured_key=settings.api_key,
    )
    security = SecurityOptions(
        gate=gate,
        calls=tools.call_keys,
        loopback=settings.is_loopback,
        keys_required=settings.keys_required,
        allowed_hosts=tuple(settings.allowed_hosts),
        allowed_origins=tuple(settings.allowed_origins),
        max_body_bytes=settings.max_body_bytes,
    )
    options = ApiOptions(
        ping_interval_s=settings.ping_interval_s, public_url=settings.public_url, web=settings.web_options()
    )
    return create_app(operations, security, options)


class _Drain:
    """Lets the loop ask the engine, which is built after it."""

    asks: Callable[[], bool] = staticmethod(lambda: False)

    def __call__(self) -> bool:
        return self.asks()

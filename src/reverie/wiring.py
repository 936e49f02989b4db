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

from reverie.api.app import create_app
from reverie.api.context import ApiOptions
from reverie.api.errors import status_of
from reverie.api.security import SecurityOptions
from reverie.auth.call_keys import CallKeys
from reverie.auth.keys import Gate
from reverie.auth.secrets import load_secrets
from reverie.background.batches import Batches
from reverie.background.callbacks import Callbacks
from reverie.background.ingest import Ingest
from reverie.background.schedules import ScheduleOptions, Schedules
from reverie.background.sleeptime import Sleeptime
from reverie.background.sweep import sweep
from reverie.background.traces import TraceKeeper, TraceOptions
from reverie.config import Settings
from reverie.documents.reader import SubprocessReader
from reverie.domain.clock import utc_now
from reverie.domain.tool import ToolType
from reverie.faults import crash_point
from reverie.loop.sandboxing import ConfiguredExecutor
from reverie.loop.turn import LoopDeps
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
from reverie.storage.database import Database
from reverie.storage.file_lock import hold_file
from reverie.storage.migrate import bring_up_to_date
from reverie.tools.builtin import BUILTIN, PEER_TOOLS
from reverie.tools.executors.by_type import ExecutorByType
from reverie.tools.executors.door import Door
from reverie.tools.executors.mcp import McpConnections, McpExecutor
from reverie.tools.executors.online import OnlineExecutor
from reverie.tools.executors.sandbox import SandboxExecutor
from reverie.web.proxy import GuardedProxy

log = structlog.get_logger(__name__)

OWN_PROVIDERS_FRESH_S: Final = 5.0
"""How long one process may go on with what another has changed about an organisation's providers."""
_INGEST_INTERVAL_S: Final = 5.0
"""Between looks for files that another server left, or that wait for a second try; uploads ring at once."""


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
async def build(settings: Settings) -> AsyncIterator[Server]:
    """Open everything, yield the server, close everything.

    Raises:
        Unavailable: the database is newer than this program, held by another server, or out of reach.
    """
    async with AsyncExitStack() as stack:
        secrets = load_secrets(settings.data_dir, settings.encryption_key)
        database = Database(settings.database_options())
        stack.push_async_callback(database.close)
        if database.sqlite_path is not None:
            stack.enter_context(hold_file(database.sqlite_path))
        await bring_up_to_date(settings.database_options(), lambda step: log.info("schema", step=step))
        catalog = Catalog(settings.model_options())
        stack.push_async_callback(catalog.aclose)
        catalogs = Catalogs(
            catalog,
            settings.model_options(),
            partial(load_own, database, secrets.cipher),
            web=settings.web_options(),
            fresh_s=inf if database.sqlite_path is not None else OWN_PROVIDERS_FRESH_S,
        )
        stack.push_async_callback(catalogs.aclose)
        door, call_keys = Door(settings.data_dir), CallKeys()
        stack.callback(door.close)
        listener = door.listen()
        if listener is not None:
            stack.callback(listener.close)
        if door.proxy is not None and settings.tool_network != "none":
            public = replace(settings.web_options(), allow_private=False)
            out = GuardedProxy(door.proxy, public, call_keys.may_go_out)
            await stack.enter_async_context(out)
        sandbox = SandboxExecutor(settings.sandbox_options(), environment=os.environ, door=door, keys=call_keys)
        stack.push_async_callback(sandbox.aclose)
        peers = PeerExecutor(
            PEER_TOOLS,
            database,
            PeerOptions(
                busy_timeout_s=settings.peer_busy_timeout_s,
                reply_timeout_s=settings.peer_reply_timeout_s,
            ),
        )
        stack.push_async_callback(peers.aclose)
        directory = StoredMcpServers(database, secrets.cipher)
        connections = McpConnections(settings.mcp_options(), settings.web_options(), directory)
        stack.push_async_callback(connections.aclose)
        executor = ExecutorByType(
            ConfiguredExecutor(sandbox, database, secrets.cipher, limit_s=settings.tool_timeout_s),
            {
                ToolType.MULTI_AGENT_CORE: peers,
                ToolType.BUILTIN: OnlineExecutor(settings.online_options(), settings.web_options(), sandbox),
                ToolType.EXTERNAL_MCP: McpExecutor(connections, directory),
            },
        )
        drain, fault = _Drain(), crash_point(settings.crash_at)
        traces: TraceKeeper | None = None
        if settings.trace_days:
            keeper = TraceKeeper(database, secrets.cipher, utc_now, TraceOptions(days=settings.trace_days))
            traces = await stack.enter_async_context(keeper.running())
        callbacks = Callbacks(database, secrets.signer, utc_now, settings.web_options())
        engine = RunEngine(
            LoopDeps(
                database=database,
                catalogs=catalogs,
                builtin=BUILTIN,
                executor=executor,
                cipher=secrets.cipher,
                clock=utc_now,
                retries=RetryPolicy(),
                fault=fault,
                draining=drain,
                keep_exchange=None if traces is None else traces.keep,
            ),
            EngineOptions(
                when_busy=settings.busy_policy,
                lease_s=settings.lease_s,
                drain_timeout_s=settings.drain_timeout_s,
                alone=database.sqlite_path is not None,
                max_depth=settings.peer_depth,
            ),
            status_of,
        )
        engine.tell(lambda run, _: callbacks.ring() if run.callback_url else None)
        drain.asks = lambda: engine.draining
        peers.bind(engine)
        await engine.start()
        stack.push_async_callback(engine.close)
        # After the engine has ended what dead processes left, so that those callbacks are seen at once.
        await stack.enter_async_context(callbacks.running())
        if database.sqlite_path is None:
            await stack.enter_async_context(sweep(engine, settings.lease_s))
        batches = await stack.enter_async_context(Batches(database, engine, utc_now, on_end=callbacks.ring).running())
        ingest = Ingest(
            database,
            SubprocessReader(settings.document_options()),
            catalogs,
            worker_id=engine.worker_id,
            clock=utc_now,
            fault=fault,
        ).rounds(_INGEST_INTERVAL_S)
        await stack.enter_async_context(ingest)
        await stack.enter_async_context(Sleeptime(engine, database, settings.sleeptime_interval_s))
        talks = GroupTalks(engine, database, status_of)
        stack.push_async_callback(talks.close)
        operations = Operations(
            database=database,
            catalogs=catalogs,
            runs=engine,
            talks=talks,
            cipher=secrets.cipher,
            hasher=secrets.hasher,
            connections=Connections(database, utc_now, alone=database.sqlite_path is not None),
            executor=executor,
            mcp=connections,
            clock=utc_now,
            ring_batches=batches.ring,
            settle_traces=nothing if traces is None else traces.flush,
            default_model=settings.default_model,
            max_file_bytes=settings.file_max_bytes,
            ring_ingest=ingest.ring,
        )
        wants_first = settings.keys_required and not settings.api_key
        made = await first_key(operations, secrets.hasher) if wants_first else None
        gate = Gate(
            required=settings.keys_required,
            hasher=secrets.hasher,
            store=KeysInDatabase(database),
            configured_key=settings.api_key,
        )
        security = SecurityOptions(
            gate=gate,
            calls=call_keys,
            loopback=settings.is_loopback,
            keys_required=settings.keys_required,
            allowed_hosts=tuple(settings.allowed_hosts),
            allowed_origins=tuple(settings.allowed_origins),
            max_body_bytes=settings.max_body_bytes,
        )
        options = ApiOptions(
            ping_interval_s=settings.ping_interval_s, public_url=settings.public_url, web=settings.web_options()
        )
        app = create_app(operations, security, options)
        await sandbox.start()
        due = ScheduleOptions(grace_s=settings.schedule_grace_s)
        await stack.enter_async_context(Schedules(database, engine, utc_now, due))
        yield Server(app, operations, made, listener, engine)


class _Drain:
    """Lets the loop ask the engine, which is built after it."""

    asks: Callable[[], bool] = staticmethod(lambda: False)

    def __call__(self) -> bool:
        return self.asks()

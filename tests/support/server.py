"""A real server process, and the clients that talk to it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from letta_client import Letta

from tests.support.nursery import Child, nursery

START_TIMEOUT_S = 120.0
ROOT = Path(__file__).parents[2]


class Server:
    """`reverie serve`, or `reverie worker`, in a process of its own, over a database that outlives it."""

    def __init__(
        self,
        *,
        database_url: str | None,
        data_dir: Path,
        environment: Mapping[str, str],
        works: bool = False,
        cold: bool = False,
    ) -> None:
        self.works = works
        self.cold = cold
        """Whether the interpreter starts anew, as it does for users."""
        self.database_url = database_url
        self.data_dir = data_dir
        self.environment = dict(environment)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | Child | None = None
        self._log = data_dir / "server.log"
        self._clients = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Letta:
        """The SDK's client, set to fail at once instead of trying again; closed with the server."""
        client = Letta(base_url=self.url, api_key="test", max_retries=0, timeout=60, _strict_response_validation=True)
        self._clients.callback(client.close)
        return client

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def start(self, *arguments: str, **environment: str) -> "Server":
        """Start and wait until it answers.

        Raises:
            RuntimeError: it ended instead; its log is in the message.
        """
        before = len(self.log)
        with httpx.Client(base_url=self.url, timeout=2) as http:
            process = self.spawn(*arguments, **environment)
            deadline = time.monotonic() + START_TIMEOUT_S
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended with {process.returncode}:\n{self.log[-4000:]}")
                if self.works:
                    if " works · " in self.log[before:]:
                        return self
                else:
                    with contextlib.suppress(httpx.HTTPError):
                        if http.get("/v1/health/").status_code == 200:
                            return self
                time.sleep(0.02)  # the start needs the processor more than this question
        raise RuntimeError(f"the server does not answer:\n{self.log[-4000:]}")

    def spawn(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes] | Child":
        """Start without waiting."""
        command = ["worker"] if self.works else ["serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), *arguments]
        if self.database_url:
            command += ["--database-url", self.database_url]
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.endswith(("_API_KEY", "_BASE_URL", "_API_BASE")) and not name.startswith(("REVERIE_", "LETTA_"))
        }
        whole = {**clean, "PYTHONPATH": str(ROOT / "src"), **self.environment, **environment}
        if not self.cold:
            self.process = nursery().fork(command, whole, self._log)
            return self.process
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "reverie.cli.main", *command], env=whole, stdout=log, stderr=subprocess.STDOUT
            )
        return self.process

    def close_clients(self) -> None:
        """Close every client that was asked for."""
        self._clients.close()

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        ended = self.process.poll() if self.process else 0
        if self.process is None or ended is not None:
            return ended or 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def wait_dead(self) -> int:
        """Wait until it died by itself."""
        assert self.process is not None
        return self.process.wait(timeout=60)

    def restart(self, **environment: str) -> "Server":
        """Start again on the same database, after whatever ended the last process."""
        self.kill()
        return self.start(**environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_server(
    database_url: str | None,
    environment: Mapping[str, str],
    *arguments: str,
    works: bool = False,
    cold: bool = False,
) -> Iterator[Server]:
    """A started server in a data directory of its own; ended at the end, whatever happened."""
    with tempfile.TemporaryDirectory(prefix="reverie-test-", ignore_cleanup_errors=True) as folder:
        server = Server(
            database_url=database_url, data_dir=Path(folder), environment=environment, works=works, cold=cold
        )
        try:
            yield server.start(*arguments)
        finally:
            try:
                server.stop()
            finally:
                server.kill()
                server.close_clients()


def provider_environment(provider: Any) -> dict[str, str]:
    """What makes a server use the scripted provider as OpenAI, Anthropic and Google at once."""
    return {
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": provider.openai_url,
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": provider.url,
        "GEMINI_API_KEY": "test-key",
        "GEMINI_BASE_URL": provider.url,
    }

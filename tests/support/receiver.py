"""Somebody who is called back: a small HTTP server that remembers what it was sent."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import orjson


@dataclass(frozen=True, slots=True)
class Call:
    """One request, with its headers' names in small letters."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(self.body)
        return found


class Receiver:
    """Answers with `statuses` in turn, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self._calls: list[Call] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.take(Call({k.lower(): v for k, v in self.headers.items()}, body)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def take(self, call: Call) -> int:
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
            return self._statuses.pop(0) if self._statuses else 200

    def wait(self, count: int, timeout_s: float = 30.0) -> list[Call]:
        """Block until so many calls have come.

        Raises:
            TimeoutError: they did not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._calls) >= count, timeout_s):
                raise TimeoutError(f"{len(self._calls)} calls came, {count} were awaited")
            return list(self._calls)

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

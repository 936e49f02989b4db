"""Lets a test program in another process restart the server it talks to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.server import Server


@contextmanager
def restart_door(server: Server) -> Iterator[str]:
    """A URL; each POST to it kills `server` with kill -9 and starts it again."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                server.restart()
            except RuntimeError as error:
                self._say(500, str(error))
            else:
                self._say(200, "restarted")

        def _say(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door:
        thread = threading.Thread(target=door.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.server_address[1]}/"
        finally:
            door.shutdown()
            thread.join()

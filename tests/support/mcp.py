"""MCP servers to connect to: those of others, started as they are, and one of ours that misbehaves on demand."""

import base64
import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.support.server import ROOT, free_port

EVERYTHING = ROOT / "tests/typescript/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
"""The protocol's own reference server; a package of the TypeScript tests."""
TIME = [str(Path(sys.executable).with_name("mcp-server-time")), "--local-timezone", "UTC"]
"""The reference server for time zones, a package of the Python tests."""


def node() -> str | None:
    """Path of node, where it and the server's package are there."""
    return shutil.which("node") if EVERYTHING.is_file() else None


@contextlib.contextmanager
def everything(transport: str) -> Iterator[str]:
    """The reference server over `sse` or `streamableHttp`; yields its address."""
    port = free_port()
    path = "sse" if transport == "sse" else "mcp"
    program = node()
    assert program is not None
    process = subprocess.Popen(
        [program, str(EVERYTHING), transport],
        env={"PATH": os.environ["PATH"], "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{port}/", timeout=2)
                break
            assert process.poll() is None, "the reference server ended"
            assert time.monotonic() < deadline, "the reference server does not answer"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{path}"
    finally:
        process.kill()
        process.wait()


class Scripted:
    """An MCP server over streamable HTTP that offers what it is told to and notes what it is sent.

    It speaks the protocol's revision of 2025-06-18, and is its own authorisation server.
    """

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = [tool("greet", {"name": {"type": "string"}})]
        self.results: dict[str, Any] = {}
        self.headers: list[dict[str, str]] = []
        self.calls: list[tuple[str, Any]] = []
        self.needs_consent = False
        self.refuses = False
        """Answers consent with an error."""
        self.sessions: set[str] = set()
        self.access: set[str] = set()
        self.refreshed = 0
        self.registered: list[Any] = []
        self.hang = Event()
        """While set, calls and lists are not answered."""
        self.release = Event()
        self.ended = False
        """Open connections hang up too."""
        self._codes: dict[str, tuple[str, str]] = {}
        self._refresh: set[str] = set()
        self._clients: set[str] = set()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.close_connection = scripted.ended
                if not scripted.ended:
                    scripted.get(self)

            def do_POST(self) -> None:
                self.close_connection = scripted.ended
                if not scripted.ended:
                    scripted.post(self)

            def do_DELETE(self) -> None:
                answer(self, 200, {})

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.origin = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.origin}/mcp"
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Scripted":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.ended:
            return
        self.ended = True
        self.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        match parts.path:
            case "/.well-known/oauth-protected-resource" | "/.well-known/oauth-protected-resource/mcp":
                answer(handler, 200, {"resource": self.url, "authorization_servers": [self.origin]})
            case "/.well-known/oauth-authorization-server":
                answer(handler, 200, self._metadata())
            case "/authorize":
                self._authorize(handler, {name: values[0] for name, values in parse_qs(parts.query).items()})
            case "/mcp":
                answer(handler, 405, {})
            case _:
                answer(handler, 404, {})

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_post"],
        }

    def _authorize(self, handler: BaseHTTPRequestHandler, query: dict[str, str]) -> None:
        assert query["client_id"] in self._clients
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = (query["code_challenge"], query["redirect_uri"])
        back = {"error": "access_denied", "error_description": "no"} if self.refuses else {"code": code}
        handler.send_response(302)
        handler.send_header("Location", f"{query['redirect_uri']}?{urlencode({**back, 'state': query['state']})}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        match urlsplit(handler.path).path:
            case "/register":
                registration = json.loads(body)
                self.registered.append(registration)
                client = secrets.token_hex(8)
                self._clients.add(client)
                answer(handler, 201, {**registration, "client_id": client, "token_endpoint_auth_method": "none"})
            case "/token":
                self._token(handler, {name: values[0] for name, values in parse_qs(body.decode()).items()})
            case "/mcp":
                self._mcp(handler, json.loads(body))
            case _:
                answer(handler, 404, {})

    def _token(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        if form["grant_type"] == "authorization_code":
            challenge, redirect_uri = self._codes.pop(form["code"], ("", ""))
            proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode()
            if proof.rstrip("=") != challenge or redirect_uri != form["redirect_uri"]:
                answer(handler, 400, {"error": "invalid_grant"})
                return
        elif form["refresh_token"] not in self._refresh:
            answer(handler, 400, {"error": "invalid_grant"})
            return
        else:
            self.refreshed += 1
        access, refresh = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.access.add(access)
        self._refresh = {refresh}
        answer(
            handler,
            200,
            {"access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh},
        )

    def _mcp(self, handler: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        bearer = (handler.headers["Authorization"] or "").removeprefix("Bearer ")
        if self.needs_consent and bearer not in self.access:
            where = f'Bearer resource_metadata="{self.origin}/.well-known/oauth-protected-resource/mcp"'
            answer(handler, 401, {"error": "invalid_token"}, {"WWW-Authenticate": where})
            return
        if "id" not in message:
            answer(handler, 202, None)
            return
        method = message["method"]
        session = handler.headers["Mcp-Session-Id"]
        if method != "initialize" and session not in self.sessions:
            answer(handler, 404 if session else 400, {})
            return
        if method != "initialize" and self.hang.is_set():
            self.release.wait(30)
        headers = {}
        if method == "initialize":
            headers["Mcp-Session-Id"] = secrets.token_hex(8)
            self.sessions.add(headers["Mcp-Session-Id"])
        answer(handler, 200, {"jsonrpc": "2.0", "id": message["id"], **self._reply(method, message)}, headers)

    def _reply(self, method: str, message: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                info = {"name": "scripted", "version": "1"}
                return {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}}
            case "tools/list":
                return {"result": {"tools": self.tools}}
            case "tools/call":
                name, arguments = message["params"]["name"], message["params"].get("arguments")
                self.calls.append((name, arguments))
                said = {"content": [{"type": "text", "text": f"{name} {json.dumps(arguments)}"}]}
                return {"result": self.results.get(name, said)}
            case _:
                return {"error": {"code": -32601, "message": "no such method"}}


def tool(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A tool as a server describes it."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema, **more}


def answer(handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

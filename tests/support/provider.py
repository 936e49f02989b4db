"""A local server that plays every model provider, in each one's own wire format.

In a test, on a thread of its own::

    with Provider() as provider:
        provider.script(say("Hi"), reply(think("hm", signature="s"), call("add", a=2)), fail(429, retry_after=1))
        ...  # base URLs: provider.url, provider.openai_url
        assert provider.requests[0].shape == ["system", "user"]

Or as its own process, driven over HTTP (`POST /_script`, `POST /_default`, `POST /_release`,
`POST /_models`, `POST /_reset`, `GET /_requests`): `python -m tests.support.provider --port 9000`.
With `--instant` replies are encoded once and requests neither parsed nor recorded, for benchmarks.
"""

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import httptools
import orjson

from tests.support.dialects import (
    ANTHROPIC,
    BEDROCK,
    CHAT,
    CREATED,
    DIALECTS,
    GOOGLE,
    RESPONSES,
    Context,
    Dialect,
    Turn,
    View,
    bedrock_error_type,
)
from tests.support.replies import (
    Answer,
    Call,
    CutHere,
    Failure,
    Gate,
    Redacted,
    Reply,
    ReplyPart,
    Say,
    StreamError,
    Think,
    Usage,
    answer_from_json,
    call,
    cut,
    fail,
    hang,
    redacted,
    reply,
    say,
    think,
    to_answer,
)

__all__ = [
    "Call",
    "CutHere",
    "Failure",
    "Gate",
    "Provider",
    "Redacted",
    "Reply",
    "Request",
    "Say",
    "ServedModel",
    "StreamError",
    "Think",
    "Turn",
    "Usage",
    "call",
    "cut",
    "fail",
    "hang",
    "redacted",
    "reply",
    "say",
    "think",
]

DIMENSIONS: Final = 64
_STREAMED = re.compile(rb'"stream"\s*:\s*true')


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model in the provider's lists."""

    name: str
    context_window: int = 32_768
    kind: Literal["chat", "embedding", "other"] = "chat"
    reasoning: bool = False
    vision: bool = False
    dimensions: int = DIMENSIONS


DEFAULT_MODELS: Final = (
    ServedModel(name="scripted"),
    ServedModel(name="scripted-embedding", kind="embedding", context_window=512),
)


@dataclass(eq=False)
class Request:
    """One request as it arrived."""

    dialect: str
    """`openai-chat`, `openai-responses`, `anthropic`, `google`, `bedrock`, `embeddings` or `other`."""
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes = field(repr=False)
    number: int
    """Counts from 0."""
    disconnected: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the client hung up before the reply ended."""
    answered: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the reply was sent in full."""

    @cached_property
    def body(self) -> dict[str, Any]:
        loaded = orjson.loads(self.raw) if self.raw else {}
        return loaded if isinstance(loaded, dict) else {}

    @property
    def model(self) -> str:
        found = re.search(
            r"/(?:models|model|deployments)/([^:]+?)(?::[a-zA-Z]+|/(?:converse|invoke|chat)\S*)$", self.path
        )
        return str(self.body.get("model") or (unquote(found.group(1)) if found else ""))

    @cached_property
    def _view(self) -> View:
        dialect = DIALECTS.get(self.dialect)
        return dialect.view(self.body) if dialect else View("", ())

    @property
    def system(self) -> str:
        return self._view.system

    @property
    def turns(self) -> tuple[Turn, ...]:
        return self._view.turns

    @property
    def tools(self) -> tuple[str, ...]:
        return self._view.tools

    @property
    def tool_choice(self) -> str | None:
        return self._view.tool_choice

    @property
    def text(self) -> str:
        """All that the last user turn says."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def shape(self) -> list[str]:
        """A short picture: `["system", "user", "assistant:add", "tool:5"]`."""
        lines = ["system"] if self.system else []
        for turn in self.turns:
            if turn.role == "tool":
                lines += [f"tool:{text}" for _, text in turn.results]
            elif turn.calls:
                lines += [f"{turn.role}:{name}" for _, name, _ in turn.calls]
            else:
                lines.append(turn.role)
        return lines

    def wait_disconnected(self, timeout_s: float = 10.0) -> None:
        """Block until the client has hung up.

        Raises:
            TimeoutError: it did not.
        """
        if not self.disconnected.wait(timeout_s):
            raise TimeoutError("the client did not close the connection")

    def as_json(self) -> dict[str, Any]:
        """For `GET /_requests`."""
        return {
            "dialect": self.dialect,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body": self.body,
            "system": self.system,
            "turns": [asdict(turn) for turn in self.turns],
            "tools": list(self.tools),
            "tool_choice": self.tool_choice,
            "shape": self.shape,
            "disconnected": self.disconnected.is_set(),
        }


Scripted: TypeAlias = Answer | ReplyPart
Default: TypeAlias = Scripted | Callable[[Request], Scripted]
Matcher: TypeAlias = Callable[[Request], bool]


def roles(request: Request) -> list[str]:
    """Its shape without what the tools returned: `["system", "user", "assistant:add", "tool"]`."""
    return [line.partition(":")[0] if line.startswith("tool:") else line for line in request.shape]


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Default
    when: Matcher | None


class Provider:
    """The scripted provider. All methods may be called from any thread."""

    def __init__(
        self,
        *,
        port: int = 0,
        instant: bool = False,
        api_key: str | None = None,
        models: Sequence[ServedModel] = DEFAULT_MODELS,
    ) -> None:
        self.default: Default = say("All right.")
        """The reply when the script is empty; a callable is asked anew for each request."""
        self.api_key = api_key
        """When given, requests with another key get 401."""
        self.models: tuple[ServedModel, ...] = tuple(models)
        self.list_failure: Failure | None = None
        """Answers every model list."""
        self.instant = instant
        self.interval_s: float | None = None
        """With `instant`: seconds between the events of a stream; None: all at once."""
        self.port = port
        self.instant_bytes = _InstantReplies()
        self.gates: dict[str, Gate] = {}
        self._requests: list[Request] = []
        self._script: list[_Entry] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    # Addresses

    @property
    def url(self) -> str:
        """Root: the base URL of Anthropic, Google, Ollama and LM Studio."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        """Base URL of OpenAI-compatible clients."""
        return f"{self.url}/v1"

    # Script and record

    def script(self, *answers: Default, when: Matcher | None = None) -> None:
        """Answer the next requests so, in this order; with `when`, only requests it says yes to."""
        with self._changed:
            self._script += [_Entry(answer, when) for answer in answers]

    @property
    def unused(self) -> int:
        """Scripted answers that nobody asked for yet."""
        with self._changed:
            return len(self._script)

    @property
    def requests(self) -> list[Request]:
        """Requests for a reply, in the order they came (no lists, no embeddings)."""
        return [request for request in self.all_requests if request.dialect in DIALECTS]

    @property
    def all_requests(self) -> list[Request]:
        """Every request but those to the control endpoints."""
        with self._changed:
            return list(self._requests)

    def wait_for_requests(self, count: int, timeout_s: float = 10.0) -> list[Request]:
        """Block until so many requests for a reply have come.

        Raises:
            TimeoutError: they did not.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: sum(r.dialect in DIALECTS for r in self._requests) >= count, timeout_s
            ):
                raise TimeoutError(f"{len(self._requests)} requests came, {count} were awaited")
        return self.requests

    def gate(self, name: str) -> Gate:
        """The gate of that name; made when there is none."""
        return self.gates.setdefault(name, Gate(name))

    def reset(self) -> None:
        """Forget script, record and gates (which open first)."""
        with self._changed:
            self._script.clear()
            self._requests.clear()
        for gate in self.gates.values():
            gate.release()
        self.gates.clear()
        self.default = say("All right.")
        self.list_failure = None
        self.models = DEFAULT_MODELS

    def record(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def answer(self, request: Request) -> Answer:
        """Take the next fitting entry of the script, or the default."""
        with self._changed:
            fitting = (n for n, entry in enumerate(self._script) if entry.when is None or entry.when(request))
            at = next(fitting, None)
            chosen = self.default if at is None else self._script.pop(at).answer
        return to_answer(chosen(request) if callable(chosen) else chosen)

    def next_number(self) -> int:
        return next(self._numbers)

    # Life

    def start(self) -> "Provider":
        """Serve from a thread of its own."""
        ready = threading.Event()

        def run() -> None:
            loop = asyncio.new_event_loop()
            self._loop = loop
            loop.run_until_complete(self.listen())
            ready.set()
            loop.run_forever()
            loop.run_until_complete(self._shut())
            loop.close()

        self._thread = threading.Thread(target=run, name="scripted-provider", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the scripted provider did not start")
        return self

    def close(self) -> None:
        """Stop and drop every connection."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop = self._thread = None

    async def listen(self) -> None:
        """Open the port on the running loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self, self._connections), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = [connection.drop() for connection in list(self._connections)]
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)

    def __enter__(self) -> "Provider":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _InstantReplies:
    """Whole HTTP answers, encoded once for each dialect and form."""

    def __init__(self) -> None:
        self.first: Answer = to_answer(say("All right."))
        self.after_tools: Answer | None = None
        self._count = 10_000_000
        self._bytes: dict[tuple[str, bool, bool], bytes] = {}

    def set(self, first: Answer, after_tools: Answer | None = None) -> None:
        """`after_tools` answers requests that end with a tool's result."""
        self.first, self.after_tools = first, after_tools
        self._bytes.clear()

    def get(self, dialect: Dialect, path: str, raw: bytes) -> bytes:
        stream = bool(_STREAMED.search(raw)) or "stream" in path
        tools_last = False
        if self.after_tools is not None:
            if dialect is CHAT:  # the last message's role, without parsing the body
                tools_last = raw.rfind(b'"role":"tool"') > raw.rfind(b'"role":"user"')
            else:
                turns = dialect.view(orjson.loads(raw)).turns
                tools_last = bool(turns) and turns[-1].role == "tool"
        key = (dialect.name, stream, tools_last)
        if key not in self._bytes:
            self._bytes[key] = self._encode(dialect, stream, tools_last)
        self._count += 1
        return self._bytes[key].replace(b"_10000000_", b"_%08d_" % self._count)  # ids of calls differ between replies

    def _encode(self, dialect: Dialect, stream: bool, tools_last: bool) -> bytes:
        answer = self.after_tools if tools_last and self.after_tools is not None else self.first
        assert isinstance(answer, Reply)
        context = Context(
            model="scripted", number=10_000_000, prompt_tokens=100, body={"stream_options": {"include_usage": True}}
        )
        if not stream:
            return _http(200, orjson.dumps(dialect.body(answer, context)))
        frames = [frame for frame in dialect.stream(answer, context) if not isinstance(frame, Gate | CutHere)]
        return _http(200, b"".join(frame.data for frame in frames), dialect.stream_type)


_REASONS: Final[Mapping[int, str]] = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _http(
    status: int, body: bytes, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> bytes:
    return _head(status, {"content-type": media_type, "content-length": str(len(body)), **(headers or {})}) + body


class _Connection(asyncio.Protocol):
    """One client connection; answers its requests one after the other."""

    def __init__(self, provider: Provider, connections: "set[_Connection]") -> None:
        self._provider = provider
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._waiting: list[tuple[str, bytes, dict[str, str], bytes]] = []
        self._task: asyncio.Task[None] | None = None
        self._current: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._current is not None and not self._current.answered.is_set():
            self._current.disconnected.set()
        if self._task is not None:
            self._task.cancel()

    def drop(self) -> asyncio.Task[None] | None:
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()
        return self._task

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        provider = self._provider
        if provider.instant and method == "POST" and not self._waiting and self._task is None:
            path = self._url.decode("latin-1")
            dialect = _dialect_of(path)
            if dialect is not None:
                answer = provider.instant_bytes.get(dialect, path, bytes(self._body))
                if provider.interval_s is None:
                    self._transport.write(answer)
                else:
                    self._task = asyncio.get_running_loop().create_task(self._dribble(answer, provider.interval_s))
                return
        self._waiting.append((method, self._url, self._headers, bytes(self._body)))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _dribble(self, answer: bytes, interval_s: float) -> None:
        """Send one event after the other, as a model writes; only for benchmarks."""
        head, _, body = answer.partition(b"\r\n\r\n")
        self._transport.write(head + b"\r\n\r\n")
        try:
            for event in body.split(b"\n\n")[:-1]:
                await asyncio.sleep(interval_s)
                self._transport.write(event + b"\n\n")  # nothing waits after the last: the next request may come
        finally:
            self._task = None

    async def _serve(self) -> None:
        try:
            while self._waiting:
                await self._answer(*self._waiting.pop(0))
        except asyncio.CancelledError:
            if self._current is not None and not self._current.answered.is_set():
                self._current.disconnected.set()
            raise
        finally:
            self._task = None

    async def _answer(self, method: str, url: bytes, headers: dict[str, str], raw: bytes) -> None:
        provider = self._provider
        parts = urlsplit(url.decode("latin-1"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith("/_"):
            self._transport.write(_control(provider, method, parts.path, raw))
            return
        dialect = _dialect_of(parts.path) if method == "POST" else None
        kind = dialect.name if dialect else "embeddings" if _is_embedding(parts.path) else "other"
        request = Request(kind, method, parts.path, query, headers, raw, provider.next_number())
        self._current = request
        provider.record(request)
        if provider.api_key is not None and provider.api_key != _key_of(request):
            self._send_failure(
                fail(401, "Incorrect API key provided.", code="invalid_api_key"), dialect or _list_dialect(request)
            )
        elif dialect is None:
            self._transport.write(_other(provider, request))
        else:
            answer = provider.answer(request)
            if isinstance(answer, Failure):
                self._send_failure(answer, dialect)
            elif not await self._send_reply(answer, dialect, request):
                self._transport.close()
                return
        request.answered.set()
        self._current = None

    def _send_failure(self, failure: Failure, dialect: Dialect) -> None:
        headers = dict(failure.headers)
        if dialect is BEDROCK:
            headers["x-amzn-ErrorType"] = bedrock_error_type(failure)
        if isinstance(failure.body, str):
            self._transport.write(_http(failure.status, failure.body.encode(), "text/plain", headers))
        else:
            body = dialect.failure(failure) if failure.body is None else failure.body
            self._transport.write(_http(failure.status, orjson.dumps(body), headers=headers))

    async def _send_reply(self, answer: Reply, dialect: Dialect, request: Request) -> bool:
        """Return whether the reply was sent to its end."""
        if answer.before is not None:
            await answer.before.pass_through()
        context = Context(
            model=request.model, number=request.number, prompt_tokens=max(1, len(request.raw) // 4), body=request.body
        )
        if not _wants_stream(request):
            for part in answer.parts:
                if isinstance(part, Gate):
                    await part.pass_through()
            if answer.cut_after is not None or any(isinstance(part, CutHere) for part in answer.parts):
                return False
            self._transport.write(_http(200, orjson.dumps(dialect.body(answer, context))))
            return True
        return await self._send_stream(answer, dialect, context)

    async def _send_stream(self, answer: Reply, dialect: Dialect, context: Context) -> bool:
        headers = {"content-type": dialect.stream_type, "transfer-encoding": "chunked", "cache-control": "no-cache"}
        self._transport.write(_head(200, headers))
        pieces = 0
        for frame in dialect.stream(answer, context):
            if isinstance(frame, Gate):
                await frame.pass_through()
                continue
            if isinstance(frame, CutHere):
                if frame.polite:
                    self._transport.write(b"0\r\n\r\n")
                return frame.polite
            if answer.cut_after is not None and frame.is_piece and pieces >= answer.cut_after:
                return False
            pieces += frame.is_piece
            self._transport.write(b"%x\r\n%b\r\n" % (len(frame.data), frame.data))
        self._transport.write(b"0\r\n\r\n")
        return True


def _dialect_of(path: str) -> Dialect | None:
    path = path.partition("?")[0]
    if path.endswith("/chat/completions"):
        return CHAT
    if path.endswith("/responses"):
        return RESPONSES
    if path.endswith("/messages"):
        return ANTHROPIC
    if path.endswith((":streamGenerateContent", ":generateContent")):
        return GOOGLE
    if path.endswith(("/converse", "/converse-stream")):
        return BEDROCK
    return None


def _list_dialect(request: Request) -> Dialect:
    if "anthropic-version" in request.headers:
        return ANTHROPIC
    return GOOGLE if "/v1beta" in request.path else CHAT


def _wants_stream(request: Request) -> bool:
    if request.dialect in ("google", "bedrock"):
        return "stream" in request.path
    return bool(request.body.get("stream"))


def _key_of(request: Request) -> str | None:
    headers = request.headers
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        if name in headers:
            return headers[name]
    if "key" in request.query:
        return request.query["key"]
    return headers.get("authorization", "").removeprefix("Bearer ") or None


def _is_embedding(path: str) -> bool:
    return path.endswith(("/embeddings", "/api/embed", ":embedContent", ":batchEmbedContents"))


# Everything that is not a reply


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A unit vector of the words of `text`: texts that share words point the same way."""
    counts = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()) or [""]:
        counts[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % dimensions] += 1.0
    length = math.sqrt(sum(value * value for value in counts))
    return [value / length for value in counts]


def _other(provider: Provider, request: Request) -> bytes:  # noqa: C901 - one arm for each path
    path = request.path
    if _is_embedding(path):
        return _http(200, orjson.dumps(_embeddings(provider, request)))
    if provider.list_failure is not None and request.method in ("GET", "POST"):
        failure = provider.list_failure
        body = _list_dialect(request).failure(failure) if failure.body is None else failure.body
        return _http(failure.status, orjson.dumps(body), headers=failure.headers)
    models = provider.models
    served: Any = None
    if path.endswith("/api/v0/models"):
        served = {"object": "list", "data": [_lmstudio_model(model) for model in models]}
    elif path.endswith("/api/tags"):
        served = {"models": [_ollama_model(model) for model in models]}
    elif path.endswith("/api/show"):
        name = request.body.get("model") or request.body.get("name")
        found = next((model for model in models if model.name == name), None)
        if found is None:
            return _http(404, orjson.dumps({"error": f"model '{name}' not found"}))
        served = _ollama_show(found)
    elif path.endswith("/api/version"):
        served = {"version": "0.99.0"}
    elif path.endswith("/models"):
        served = _model_list(models, _list_dialect(request))
    elif path.endswith("/foundation-models"):
        served = {"modelSummaries": [_bedrock_model(model) for model in models]}
    elif path == "/":
        return _http(200, b"Ollama is running", "text/plain")
    if served is None:
        return _http(404, orjson.dumps({"error": {"message": f"nothing at {path}", "type": "not_found", "code": None}}))
    return _http(200, orjson.dumps(served))


def _embeddings(provider: Provider, request: Request) -> Any:
    body = request.body
    sizes = {model.name: model.dimensions for model in provider.models}
    dimensions = body.get("dimensions") or sizes.get(str(body.get("model")), DIMENSIONS)
    if request.path.endswith(":batchEmbedContents"):
        texts = ["".join(part["text"] for part in item["content"]["parts"]) for item in body["requests"]]
        return {"embeddings": [{"values": vector(text, dimensions)} for text in texts]}
    if request.path.endswith(":embedContent"):
        text = "".join(part["text"] for part in body["content"]["parts"])
        return {"embedding": {"values": vector(text, dimensions)}}
    given = body.get("input", "")
    texts = [given] if isinstance(given, str) else list(given)
    vectors = [vector(text, dimensions) for text in texts]
    if request.path.endswith("/api/embed"):
        return {"model": body.get("model"), "embeddings": vectors}
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": n, "embedding": values} for n, values in enumerate(vectors)],
        "model": body.get("model"),
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }


def _model_list(models: Sequence[ServedModel], dialect: Dialect) -> Any:
    if dialect is ANTHROPIC:
        listed = [
            {
                "type": "model",
                "id": model.name,
                "display_name": model.name.title(),
                "created_at": "2026-01-01T00:00:00Z",
            }
            for model in models
            if model.kind == "chat"
        ]
        edges = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {}
        return {"data": listed, "has_more": False, **edges}
    if dialect is GOOGLE:
        methods = {"chat": ["generateContent", "countTokens"], "embedding": ["embedContent"], "other": ["predict"]}
        return {
            "models": [
                {
                    "name": f"models/{model.name}",
                    "displayName": model.name.title(),
                    "inputTokenLimit": model.context_window,
                    "outputTokenLimit": 8192,
                    "supportedGenerationMethods": methods[model.kind],
                    "thinking": model.reasoning,
                }
                for model in models
            ]
        }
    return {
        "object": "list",
        "data": [
            {
                "id": model.name,
                "object": "model",
                "created": CREATED,
                "owned_by": "scripted",
                "max_model_len": model.context_window,
                "context_length": model.context_window,
            }
            for model in models
        ],
    }


def _lmstudio_model(model: ServedModel) -> Any:
    kind = {"chat": "vlm" if model.vision else "llm", "embedding": "embeddings", "other": "other"}[model.kind]
    return {
        "id": model.name,
        "object": "model",
        "type": kind,
        "publisher": "scripted",
        "arch": "llama",
        "state": "not-loaded",
        "max_context_length": model.context_window,
    }


def _ollama_model(model: ServedModel) -> Any:
    details = {"format": "gguf", "family": "llama", "parameter_size": "8B", "quantization_level": "Q4_0"}
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": "2026-01-01T00:00:00Z",
        "size": 1,
        "digest": "0",
        "details": details,
    }


def _ollama_show(model: ServedModel) -> Any:
    skills = {"chat": ["completion", "tools"], "embedding": ["embedding"], "other": []}[model.kind]
    if model.vision:
        skills.append("vision")
    if model.reasoning:
        skills.append("thinking")
    facts = {
        "general.architecture": "llama",
        "llama.context_length": model.context_window,
        "llama.embedding_length": model.dimensions,
    }
    return {"details": {"family": "llama"}, "model_info": facts, "capabilities": skills, "parameters": ""}


def _bedrock_model(model: ServedModel) -> Any:
    output = {"chat": "TEXT", "embedding": "EMBEDDING", "other": "IMAGE"}[model.kind]
    return {
        "modelId": model.name,
        "modelName": model.name,
        "providerName": "scripted",
        "inputModalities": ["TEXT"],
        "outputModalities": [output],
        "responseStreamingSupported": True,
        "inferenceTypesSupported": ["ON_DEMAND"],
    }


# Control over HTTP


def _control(provider: Provider, method: str, path: str, raw: bytes) -> bytes:
    try:
        data = orjson.loads(raw) if raw else {}
        return _http(200, orjson.dumps(_controlled(provider, method, path, data)))
    except (ValueError, KeyError, TypeError) as error:
        return _http(400, orjson.dumps({"error": str(error)}))


def _controlled(provider: Provider, method: str, path: str, data: Any) -> Any:
    match method, path:
        case "POST", "/_script":
            items = data if isinstance(data, list) else data.get("replies", [data])
            provider.script(*(answer_from_json(item, provider.gates) for item in items))
        case "POST", "/_default":
            after = data.get("after_tools")
            first = answer_from_json(data.get("first", data), provider.gates)
            then = answer_from_json(after, provider.gates) if after else None
            provider.default = _by_last_turn(first, then)
            provider.instant_bytes.set(first, then)
        case "POST", "/_release":
            provider.gate(data["gate"]).release()
        case "POST", "/_models":
            provider.models = tuple(ServedModel(**item) for item in data)
        case "POST", "/_reset":
            provider.reset()
            provider.instant_bytes.set(to_answer(say("All right.")))
        case "GET", "/_requests":
            return [request.as_json() for request in provider.requests]
        case "GET", "/_gates":
            return {name: gate.is_reached for name, gate in provider.gates.items()}
        case _:
            raise ValueError(f"no control endpoint {method} {path}")
    return {"ok": True}


def _by_last_turn(first: Answer, after_tools: Answer | None) -> Callable[[Request], Answer]:
    def choose(request: Request) -> Answer:
        tools_last = bool(request.turns) and request.turns[-1].role == "tool"
        return after_tools if after_tools is not None and tools_last else first

    return choose


def main() -> None:
    """Serve until killed; the first line of output is the root URL."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--instant", action="store_true", help="answer from pre-encoded bytes and record nothing")
    parser.add_argument("--interval-ms", type=float, help="with --instant: time between the events of a stream")
    parser.add_argument("--default", help="JSON of the default reply, or of {first, after_tools}")
    arguments = parser.parse_args()
    provider = Provider(port=arguments.port, instant=arguments.instant)
    if arguments.interval_ms is not None:
        provider.interval_s = arguments.interval_ms / 1000
    if arguments.default:
        _controlled(provider, "POST", "/_default", json.loads(arguments.default))

    async def serve() -> None:
        await provider.listen()
        print(provider.url, flush=True)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


def running(**options: Any) -> Iterator[Provider]:
    """For fixtures: `yield from running()`."""
    with Provider(**options) as provider:
        yield provider


if __name__ == "__main__":
    main()

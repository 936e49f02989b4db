"""What a scripted model says, in no provider's words.

Tests compose replies from parts; `tests.support.dialects` puts them on the wire of each provider.
"""

import asyncio
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class Say:
    """Text, sent in pieces."""

    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Think:
    """Reasoning, sent in pieces; its signature is opaque to everyone but the provider."""

    pieces: tuple[str, ...]
    signature: str | None = None
    id: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Redacted:
    """Reasoning the provider gives only in encrypted form."""

    data: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `pieces` join to its JSON arguments."""

    name: str
    pieces: tuple[str, ...]
    id: str | None = None
    signature: str | None = None

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class StreamError:
    """The provider reports an error inside a stream that began well."""

    message: str
    code: str = "server_error"


@dataclass(frozen=True, slots=True)
class CutHere:
    """The reply ends before its end."""

    polite: bool = False
    """The HTTP answer is ended in order, as by a proxy that lost its upstream; else the connection just closes."""


class Gate:
    """A point a reply waits at until the test lets it pass. Works across threads, and never sleeps."""

    def __init__(self, name: str = "gate") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._reached = threading.Event()
        self._released = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def release(self) -> None:
        """Let everything pass, from now on."""
        with self._lock:
            self._released.set()
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    @property
    def is_reached(self) -> bool:
        return self._reached.is_set()

    def wait_reached(self, timeout_s: float = 10.0) -> None:
        """Block until a reply stands here.

        Raises:
            TimeoutError: none came.
        """
        if not self._reached.wait(timeout_s):
            raise TimeoutError(f"no reply reached gate {self.name!r} within {timeout_s} s")

    async def reached(self, timeout_s: float = 10.0) -> None:
        """Wait until a reply stands here, without blocking the event loop."""
        await asyncio.to_thread(self.wait_reached, timeout_s)

    async def pass_through(self) -> None:
        """Wait here; called by the server."""
        event = asyncio.Event()
        with self._lock:
            if not self._released.is_set():
                self._waiting.append((asyncio.get_running_loop(), event))
            else:
                event.set()
        self._reached.set()
        await event.wait()


ReplyPart: TypeAlias = Say | Think | Redacted | Call | StreamError | CutHere | Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts a reply reports. `prompt` is the whole input, cached part included."""

    prompt: int | None = None
    """None: estimated from the request's size."""
    completion: int = 20
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer of the model."""

    parts: tuple[ReplyPart, ...]
    usage: Usage = field(default_factory=Usage)
    finish: Literal["stop", "tool_calls", "length", "content_filter"] | None = None
    """None: what follows from the parts."""
    cut_after: int | None = None
    """The connection ends after so many pieces."""
    before: Gate | None = None
    """Nothing, not even a status, is sent before this opens."""

    @property
    def finish_reason(self) -> str:
        if self.finish:
            return self.finish
        return "tool_calls" if any(isinstance(part, Call) for part in self.parts) else "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An answer with an error status."""

    status: int
    message: str = "scripted failure"
    code: str | None = None
    body: Any = None
    """Sent as it stands (text or JSON) instead of the dialect's own error form."""
    headers: Mapping[str, str] = field(default_factory=dict)


Answer: TypeAlias = Reply | Failure


def say(text: str, *more: str) -> Say:
    """Text; one argument is split at words, several are sent as they are."""
    return Say((text, *more) if more else tuple(_WORDS.findall(text)) or ("",))


def think(text: str, *, signature: str | None = None, id: str | None = None) -> Think:
    """Reasoning."""
    return Think(tuple(_WORDS.findall(text)), signature, id)


def redacted(data: str) -> Redacted:
    """Encrypted reasoning."""
    return Redacted(data)


def call(
    name: str,
    args: Mapping[str, Any] | str | None = None,
    *,
    id: str | None = None,
    pieces: Sequence[str] | None = None,
    signature: str | None = None,
    **more: Any,
) -> Call:
    """A tool call; `args` may be malformed JSON text on purpose; `call("add", a=2)` is short for a dict."""
    text = args if isinstance(args, str) else json.dumps({**(args or {}), **more}, ensure_ascii=False)
    cut = tuple(pieces) if pieces is not None else tuple(text[i : i + 8] for i in range(0, len(text), 8))
    return Call(name, cut, id, signature)


def reply(
    *parts: ReplyPart,
    usage: Usage | None = None,
    finish: Literal["stop", "tool_calls", "length", "content_filter"] | None = None,
    cut_after: int | None = None,
    before: Gate | None = None,
) -> Reply:
    """A reply of several parts; a `Gate` among them is waited at."""
    return Reply(parts=parts, usage=usage or Usage(), finish=finish, cut_after=cut_after, before=before)


def fail(
    status: int,
    message: str = "scripted failure",
    *,
    code: str | None = None,
    retry_after: str | float | None = None,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Failure:
    """An error status, in the dialect's own form unless `body` is given."""
    all_headers = dict(headers or {})
    if retry_after is not None:
        all_headers["retry-after"] = str(retry_after)
    return Failure(status=status, message=message, code=code, body=body, headers=all_headers)


def cut(*parts: ReplyPart, after_chunks: int = 1) -> Reply:
    """A reply whose connection ends after so many pieces."""
    return Reply(parts=parts or (say("one two three four five six"),), cut_after=after_chunks)


def hang(gate: Gate | None = None, *parts: ReplyPart) -> Reply:
    """A reply that does not begin before its gate opens."""
    return Reply(parts=parts or (say("late"),), before=gate or Gate("hang"))


def to_answer(value: Answer | ReplyPart) -> Answer:
    """A single part is a reply of one part."""
    return value if isinstance(value, Reply | Failure) else Reply(parts=(value,))


def answer_from_json(data: Mapping[str, Any], gates: dict[str, Gate]) -> Answer:  # noqa: C901 - one arm for each kind of part
    """Read a reply from its JSON form.

    `{"parts": [{"say": "Hi"}, {"think": "…", "signature": "s"}, {"call": "add", "args": {…}, "id": "c1"},
    {"redacted": "…"}, {"gate": "name"}, {"cut": true}, {"error": "message"}], "usage": {"prompt": 9},
    "finish": "length", "cut_after": 2, "before": "gate name"}`, a single part, or
    `{"fail": 429, "message": "…", "retry_after": 2, "body": …}`.
    """

    def gate(name: str) -> Gate:
        return gates.setdefault(name, Gate(name))

    def part(item: Mapping[str, Any]) -> ReplyPart:
        match item:
            case {"say": str(text)}:
                return say(text)
            case {"say": list(pieces)}:
                return Say(tuple(pieces))
            case {"think": str(text)}:
                return think(text, signature=item.get("signature"), id=item.get("id"))
            case {"redacted": str(data)}:
                return redacted(data)
            case {"call": str(name)}:
                return call(name, item.get("args"), id=item.get("id"), signature=item.get("signature"))
            case {"gate": str(name)}:
                return gate(name)
            case {"cut": how}:
                return CutHere(polite=how == "polite")
            case {"error": str(message)}:
                return StreamError(message)
            case _:
                raise ValueError(f"not a part of a reply: {item!r}")

    if "fail" in data:
        return fail(
            int(data["fail"]),
            data.get("message", "scripted failure"),
            code=data.get("code"),
            retry_after=data.get("retry_after"),
            body=data.get("body"),
            headers=data.get("headers"),
        )
    if "hang" in data:
        return hang(gate(str(data["hang"])))
    parts = tuple(part(item) for item in data["parts"]) if "parts" in data else (part(data),)
    return Reply(
        parts=parts,
        usage=Usage(**data.get("usage", {})),
        finish=data.get("finish"),
        cut_after=data.get("cut_after"),
        before=gate(data["before"]) if "before" in data else None,
    )

"""The events of one streamed reply as chunks; read leniently, since each server streams a little differently."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson

from reverie.domain.json import JsonObject, JsonValue
from reverie.models.adapters.openai_chat.written_calls import WrittenCall, WrittenCalls
from reverie.models.adapters.translate import ToolNames
from reverie.models.base import CallChunk, Chunk, FinishChunk, ReasoningChunk, TextChunk, UsageChunk
from reverie.models.failures import Source, bad_reply, cut_stream, failure_in_stream

_OPEN_TAG: Final = "<think>"
_CLOSE_TAG: Final = "</think>"
FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]

_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
}


@dataclass(slots=True)
class ChatReader:
    """Reads the events of one stream; `feed` each, then `end`."""

    source: Source
    names: ToolNames = field(default_factory=lambda: ToolNames({}))
    written: WrittenCalls | None = None
    """Finds calls among words; None: the server does."""
    finish: FinishReason | None = None
    done: bool = False
    """The end mark came."""
    _calls: int = 0
    _index_of: dict[JsonValue, int] = field(default_factory=dict)
    _ids: dict[int, str | None] = field(default_factory=dict)
    _anonymous: dict[int, str] = field(default_factory=dict)
    """Arguments of calls without an id."""
    _named: set[int] = field(default_factory=set)
    _think: Literal["maybe", "inside", "no"] = "maybe"
    _held: str = ""

    def feed(self, event: JsonValue) -> list[Chunk]:
        """The chunks of one event.

        Raises:
            ModelError: the event reports a failure.
        """
        if not isinstance(event, dict):
            raise bad_reply(self.source, "a stream event that is no JSON object")
        if event.get("error"):
            raise failure_in_stream(self.source, event["error"])
        chunks: list[Chunk] = []
        choices = event.get("choices")
        if choices:
            choice = choices[0]
            delta = choice.get("delta") or choice.get("message")
            if delta:
                self._delta(delta, chunks)
            reason = choice.get("finish_reason")
            if reason:
                self._finished(reason, choice)
        elif "choices" not in event and event.get("object") == "error":  # vLLM before 0.10
            raise failure_in_stream(self.source, event)
        usage = event.get("usage") or (event.get("x_groq") or {}).get("usage")
        if usage:
            chunks.append(usage_of(usage))
        return self._parted(chunks)

    def end(self) -> list[Chunk]:
        """The last chunks.

        Raises:
            ModelStreamCut: neither an end mark nor a finish reason came.
        """
        if self.finish is None and not self.done:
            raise cut_stream(self.source)
        chunks: list[Chunk] = []
        if self._held:
            chunks.append(TextChunk(text=self._held) if self._think == "maybe" else ReasoningChunk(text=self._held))
            self._held = ""
        chunks = self._parted(chunks)
        if self.written is not None:
            chunks += map(self._chunk_of, self.written.end())
        reason: FinishReason = self.finish or "stop"
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        chunks.append(FinishChunk(reason=reason))
        return chunks

    def _parted(self, chunks: list[Chunk]) -> list[Chunk]:
        """`chunks` with the calls among their words taken out."""
        if self.written is None:
            return chunks
        parted: list[Chunk] = []
        for chunk in chunks:
            if isinstance(chunk, TextChunk):
                parted += map(self._chunk_of, self.written.feed(chunk.text))
            else:
                parted.append(chunk)
        return parted

    def _chunk_of(self, item: str | WrittenCall) -> Chunk:
        if isinstance(item, str):
            return TextChunk(text=item)
        self._calls += 1
        return CallChunk(index=self._calls - 1, name=self.names.own_name(item.name), arguments=item.arguments)

    def _finished(self, reason: str, choice: JsonObject) -> None:
        if reason == "error":
            raise failure_in_stream(self.source, choice.get("error") or "the model failed while it wrote")
        self.finish = _FINISH.get(reason, "stop")

    def _delta(self, delta: JsonObject, chunks: list[Chunk]) -> None:
        details = delta.get("reasoning_details")
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if details:
            chunks += _details(details)
        elif isinstance(reasoning, str) and reasoning:
            chunks.append(ReasoningChunk(text=reasoning))
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                self._text(content, chunks)
            else:
                self._blocks(content, chunks)
        calls = delta.get("tool_calls")
        if calls:
            for at, piece in enumerate(calls):
                self._call(piece, at, chunks)

    def _blocks(self, blocks: Sequence[JsonObject], chunks: list[Chunk]) -> None:
        """Content in blocks, as Mistral's reasoning models write it."""
        for block in blocks:
            if block.get("type") == "thinking":
                text = "".join(item.get("text") or "" for item in block.get("thinking") or ())
                chunks.append(ReasoningChunk(text=text))
            elif block.get("text"):
                chunks.append(TextChunk(text=block["text"]))

    def _text(self, text: str, chunks: list[Chunk]) -> None:
        """Text; a reply that begins with `<think>` holds reasoning up to the closing tag."""
        if self._think == "no":
            chunks.append(TextChunk(text=text))
            return
        held = self._held + text
        if self._think == "maybe":
            start = held.lstrip()
            if not start.startswith(_OPEN_TAG):
                if _OPEN_TAG.startswith(start):
                    self._held = held
                    return
                self._think, self._held = "no", ""
                chunks.append(TextChunk(text=held))
                return
            self._think, held = "inside", start[len(_OPEN_TAG) :].lstrip("\n")
        thought, tag, rest = held.partition(_CLOSE_TAG)
        if tag:
            self._think, self._held = "no", ""
            rest = rest.lstrip("\n")
        else:  # the end may be the first part of the closing tag
            keep = next((n for n in range(len(_CLOSE_TAG) - 1, 0, -1) if thought.endswith(_CLOSE_TAG[:n])), 0)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        if thought:
            chunks.append(ReasoningChunk(text=thought))
        if rest:
            chunks.append(TextChunk(text=rest))

    def _is_another(self, index: int, given_id: str | None, function: JsonObject) -> bool:
        """Whether a piece under an old index begins another call: by its id, or without ids behind whole arguments."""
        if given_id:
            return self._ids[index] not in (None, given_id)
        begins = bool(function.get("name") and function.get("arguments"))
        return begins and _is_object(self._anonymous.get(index, ""))

    def _call(self, piece: JsonObject, at: int, chunks: list[Chunk]) -> None:
        function = piece.get("function") or {}
        given_id = piece.get("id") or None
        key = piece.get("index")
        if key is None:  # some servers send whole calls without an index
            key = ("no index", given_id or (at if function.get("name") else self._calls))
        index = self._index_of.get(key)
        if index is None or self._is_another(index, given_id, function):
            index = self._calls
            self._calls += 1
            self._ids[index] = None
        self._index_of[key] = index
        fresh_id = given_id if given_id and self._ids[index] is None else None
        if fresh_id:
            self._ids[index] = fresh_id
        name = function.get("name") or None
        fresh_name = self.names.own_name(name) if name and index not in self._named else None
        if fresh_name:
            self._named.add(index)
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        if self._ids[index] is None and arguments:
            self._anonymous[index] = self._anonymous.get(index, "") + arguments
        if fresh_id or fresh_name or arguments:
            chunks.append(CallChunk(index=index, id=fresh_id, name=fresh_name, arguments=arguments or ""))


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _details(details: Sequence[JsonObject]) -> list[Chunk]:
    """OpenRouter's reasoning details. What is no text is kept whole, to go back as it came."""
    chunks: list[Chunk] = []
    for detail in details:
        text = detail.get("text") or detail.get("summary") or ""
        kept = {key: value for key, value in detail.items() if key not in ("text", "summary") and value is not None}
        packed = orjson.dumps(kept).decode()
        if detail.get("type") == "reasoning.encrypted":
            chunks.append(ReasoningChunk(redacted=packed, item_id=detail.get("id")))
        else:
            chunks.append(ReasoningChunk(text=text, signature=packed))
    return chunks


def usage_of(usage: JsonObject) -> UsageChunk:
    """Token counts, from wherever the server puts them."""
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    cached = prompt_details.get("cached_tokens")
    return UsageChunk(
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
        cached_input_tokens=cached if cached is not None else usage.get("prompt_cache_hit_tokens"),
        cache_write_tokens=prompt_details.get("cache_write_tokens"),
        reasoning_tokens=completion_details.get("reasoning_tokens"),
    )

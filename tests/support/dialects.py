"""Each provider's wire format: replies to bytes, requests to a neutral view.

An encoder yields frames. A frame is bytes to send, with a flag that says whether it carries a
piece of the reply, or a point to wait or to end the connection at. Nothing here does I/O.
"""

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, assert_never

import orjson

from tests.support.replies import (
    Call,
    CutHere,
    Failure,
    Gate,
    Redacted,
    Reply,
    Say,
    StreamError,
    Think,
)

Json: TypeAlias = Any
CREATED = 1_760_000_000


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes for the wire."""

    data: bytes
    is_piece: bool = False


Frames: TypeAlias = Iterator[Frame | Gate | CutHere]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an encoder knows of the request it answers."""

    model: str
    number: int
    """Counts the requests of one provider."""
    prompt_tokens: int
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a request, in no provider's words."""

    role: str
    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    """Id, name, arguments as JSON text."""
    results: tuple[tuple[str, str], ...] = ()
    """Call id, text."""
    thinking: tuple[tuple[str, str], ...] = ()
    """Text, and signature or encrypted content."""
    images: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """A request in no provider's words."""

    system: str
    turns: tuple[Turn, ...]
    tools: tuple[str, ...] = ()
    tool_choice: str | None = None


def _dump(value: Json) -> bytes:
    return orjson.dumps(value)


def _data(value: Json, *, piece: bool = False) -> Frame:
    return Frame(b"data: " + orjson.dumps(value) + b"\n\n", piece)


def _event(value: Json, *, piece: bool = False) -> Frame:
    return Frame(b"event: " + str(value["type"]).encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n", piece)


def call_id(part: Call, context: Context, index: int, prefix: str = "call") -> str:
    """The scripted id, or one that is the same in every run."""
    return part.id or f"{prefix}_{context.number}_{index}"


# OpenAI chat completions


def _chat_usage(reply: Reply, context: Context) -> Json:
    usage = reply.usage
    prompt = usage.prompt if usage.prompt is not None else context.prompt_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": usage.completion,
        "total_tokens": prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }


def chat_stream(reply: Reply, context: Context) -> Frames:  # noqa: C901 - one arm for each kind of part
    """`chat.completion.chunk` events."""
    head = {
        "id": f"chatcmpl-{context.number}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": context.model,
        "system_fingerprint": "fp_scripted",
    }

    def chunk(delta: Json, finish: str | None = None, *, piece: bool = False) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _data({**head, "choices": [choice]}, piece=piece)

    yield chunk({"role": "assistant", "content": ""})
    index = -1
    for part in reply.parts:
        match part:
            case Say():
                for text in part.pieces:
                    yield chunk({"content": text}, piece=True)
            case Think():
                for text in part.pieces:
                    yield chunk({"reasoning_content": text}, piece=True)
            case Call():
                index += 1
                function = {"name": part.name, "arguments": ""}
                first = {"index": index, "id": call_id(part, context, index), "type": "function", "function": function}
                yield chunk({"tool_calls": [first]}, piece=True)
                for text in part.pieces:
                    yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]}, piece=True)
            case StreamError():
                yield _data({"error": {"message": part.message, "type": part.code, "code": part.code, "param": None}})
                return
            case Redacted():
                pass
            case Gate() | CutHere():
                yield part
            case other:
                assert_never(other)
    yield chunk({}, reply.finish_reason)
    if (context.body.get("stream_options") or {}).get("include_usage"):
        yield _data({**head, "choices": [], "usage": _chat_usage(reply, context)})
    yield Frame(b"data: [DONE]\n\n")


def chat_body(reply: Reply, context: Context) -> Json:
    """One `chat.completion`."""
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Json] = []
    for part in reply.parts:
        match part:
            case Say():
                message["content"] = (message["content"] or "") + part.text
            case Think():
                message["reasoning_content"] = message.get("reasoning_content", "") + part.text
            case Call():
                function = {"name": part.name, "arguments": part.arguments}
                calls.append({"id": call_id(part, context, len(calls)), "type": "function", "function": function})
            case _:
                pass
    if calls:
        message["tool_calls"] = calls
    return {
        "id": f"chatcmpl-{context.number}",
        "object": "chat.completion",
        "created": CREATED,
        "model": context.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}],
        "usage": _chat_usage(reply, context),
    }


def chat_view(body: Mapping[str, Any]) -> View:
    system: list[str] = []
    turns: list[Turn] = []
    for message in body.get("messages", []):
        role = message["role"]
        text, images = _content(message.get("content"))
        if role in ("system", "developer") and not turns and not system:
            system.append(text)
        elif role == "tool":
            turns.append(Turn("tool", results=((message.get("tool_call_id", ""), text),)))
        else:
            calls = tuple(
                (item.get("id", ""), item["function"]["name"], item["function"]["arguments"])
                for item in message.get("tool_calls") or ()
            )
            thought = message.get("reasoning_content") or message.get("reasoning")
            thinking = ((thought, ""),) if thought else ()
            role = "system" if role == "developer" else role
            turns.append(Turn(role, text, calls=calls, thinking=thinking, images=images))
    return View(
        "".join(system),
        tuple(turns),
        tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
        _choice(body.get("tool_choice")),
    )


def _content(content: Json) -> tuple[str, int]:
    if content is None or isinstance(content, str):
        return content or "", 0
    texts = [str(item.get("text", "")) for item in content if "text" in str(item.get("type", ""))]
    return "".join(texts), sum("image" in str(item.get("type", "")) for item in content)


def _choice(value: Json) -> str | None:
    if isinstance(value, Mapping):
        function = value.get("function")
        name = function.get("name") if isinstance(function, Mapping) else value.get("name")
        return str(name or value.get("type"))
    return value if value is None else str(value)


# OpenAI responses


def _responses_usage(reply: Reply, context: Context) -> Json:
    usage = reply.usage
    prompt = usage.prompt if usage.prompt is not None else context.prompt_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": prompt + usage.completion,
    }


def _responses_items(reply: Reply, context: Context) -> list[Json]:
    """All output items, complete."""
    items: list[Json] = []
    for part in reply.parts:
        n = len(items)
        match part:
            case Say():
                content = {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
                if items and items[-1]["type"] == "message":
                    items[-1]["content"][0]["text"] += part.text
                else:
                    items.append(
                        {
                            "id": f"msg_{context.number}_{n}",
                            "type": "message",
                            "role": "assistant",
                            "status": "completed",
                            "content": [content],
                        }
                    )
            case Think():
                items.append(
                    {
                        "id": part.id or f"rs_{context.number}_{n}",
                        "type": "reasoning",
                        "summary": [{"type": "summary_text", "text": part.text}] if part.text else [],
                        "encrypted_content": part.signature,
                    }
                )
            case Redacted():
                item_id = f"rs_{context.number}_{n}"
                items.append({"id": item_id, "type": "reasoning", "summary": [], "encrypted_content": part.data})
            case Call():
                items.append(
                    {
                        "id": f"fc_{context.number}_{n}",
                        "type": "function_call",
                        "status": "completed",
                        "call_id": call_id(part, context, n),
                        "name": part.name,
                        "arguments": part.arguments,
                    }
                )
            case _:
                pass
    return items


def responses_body(reply: Reply, context: Context, *, done: bool = True) -> Json:
    """One `response`."""
    cut_short = reply.finish in ("length", "content_filter")
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(reply.finish or "")
    status = "incomplete" if cut_short else "completed"
    return {
        "id": f"resp_{context.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status if done else "in_progress",
        "error": None,
        "incomplete_details": {"reason": reason} if done and cut_short else None,
        "instructions": None,
        "max_output_tokens": None,
        "model": context.model,
        "output": _responses_items(reply, context) if done else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _responses_usage(reply, context) if done else None,
        "user": None,
        "metadata": {},
    }


def responses_stream(reply: Reply, context: Context) -> Frames:  # noqa: C901 - one arm for each kind of part
    """Named events with running sequence numbers."""
    sequence = -1

    def event(kind: str, *, piece: bool = False, **fields: Json) -> Frame:
        nonlocal sequence
        sequence += 1
        return _event({"type": f"response.{kind}", "sequence_number": sequence, **fields}, piece=piece)

    yield event("created", response=responses_body(reply, context, done=False))
    yield event("in_progress", response=responses_body(reply, context, done=False))
    items = iter(_responses_items(reply, context))
    index = -1
    item: Json = None
    open_message = False

    def close_message() -> Frames:
        where = {"item_id": item["id"], "output_index": index, "content_index": 0}
        content = item["content"][0]
        yield event("output_text.done", **where, text=content["text"], logprobs=[])
        yield event("content_part.done", **where, part=content)
        yield event("output_item.done", output_index=index, item=item)

    for part in reply.parts:
        if open_message and not isinstance(part, Say | Gate | CutHere):
            yield from close_message()
            open_message = False
        match part:
            case Gate() | CutHere():
                yield part
                continue
            case StreamError():
                sequence += 1
                error = {"type": "error", "sequence_number": sequence, "code": part.code, "message": part.message}
                yield _event({**error, "param": None})
                return
            case Say() if open_message:
                pass  # goes on with the same item
            case _:
                item, index = next(items), index + 1
        match part:
            case Say():
                where = {"item_id": item["id"], "output_index": index, "content_index": 0}
                if not open_message:
                    open_message = True
                    yield event(
                        "output_item.added", output_index=index, item={**item, "status": "in_progress", "content": []}
                    )
                    yield event("content_part.added", **where, part={**item["content"][0], "text": ""})
                for text in part.pieces:
                    yield event("output_text.delta", piece=True, **where, delta=text, logprobs=[])
            case Think() | Redacted():
                opened = {**item, "summary": [], "encrypted_content": ""}
                yield event("output_item.added", output_index=index, item=opened, piece=isinstance(part, Redacted))
                if item["summary"]:
                    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
                    full = item["summary"][0]
                    yield event("reasoning_summary_part.added", **where, part={**full, "text": ""})
                    for text in part.pieces if isinstance(part, Think) else ():
                        yield event("reasoning_summary_text.delta", piece=True, **where, delta=text)
                    yield event("reasoning_summary_text.done", **where, text=full["text"])
                    yield event("reasoning_summary_part.done", **where, part=full)
                yield event("output_item.done", output_index=index, item=item)
            case Call():
                where = {"item_id": item["id"], "output_index": index}
                opened = {**item, "status": "in_progress", "arguments": ""}
                yield event("output_item.added", output_index=index, item=opened, piece=True)
                for text in part.pieces:
                    yield event("function_call_arguments.delta", piece=True, **where, delta=text)
                yield event("function_call_arguments.done", **where, name=part.name, arguments=part.arguments)
                yield event("output_item.done", output_index=index, item=item)
            case other:
                assert_never(other)
    if open_message:
        yield from close_message()
    final = responses_body(reply, context)
    yield event(final["status"], response=final)


def responses_view(body: Mapping[str, Any]) -> View:
    system = [body["instructions"]] if body.get("instructions") else []
    turns: list[Turn] = []
    given = body.get("input", [])
    items: list[Json] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            text, images = _content(item.get("content"))
            if item["role"] in ("system", "developer") and not turns and not system:
                system.append(text)
            else:
                role = "system" if item["role"] == "developer" else item["role"]
                turns.append(Turn(role, text, images=images))
        elif kind == "function_call":
            turns.append(Turn("assistant", calls=((item["call_id"], item["name"], item["arguments"]),)))
        elif kind == "function_call_output":
            text, images = _content(item["output"])
            turns.append(Turn("tool", results=((item["call_id"], text),), images=images))
        elif kind == "reasoning":
            text = "".join(part["text"] for part in item.get("summary") or ())
            turns.append(Turn("assistant", thinking=((text, item.get("encrypted_content") or ""),)))
    return View(
        "".join(system),
        _merge_assistant(turns),
        tuple(tool["name"] for tool in body.get("tools") or () if "name" in tool),
        _choice(body.get("tool_choice")),
    )


def _merge_assistant(turns: list[Turn]) -> tuple[Turn, ...]:
    """Items that came from one reply become one turn."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if last and last.role == turn.role == "assistant":
            merged[-1] = Turn(
                "assistant", last.text + turn.text, last.calls + turn.calls, (), last.thinking + turn.thinking
            )
        else:
            merged.append(turn)
    return tuple(merged)


# Anthropic messages


def _anthropic_usage(reply: Reply, context: Context) -> Json:
    usage = reply.usage
    prompt = usage.prompt if usage.prompt is not None else context.prompt_tokens
    return {
        "input_tokens": max(0, prompt - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
        "service_tier": "standard",
    }


_ANTHROPIC_STOP = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}


def anthropic_body(reply: Reply, context: Context) -> Json:
    """One message."""
    blocks: list[Json] = []
    for part in reply.parts:
        match part:
            case Say():
                if blocks and blocks[-1]["type"] == "text":
                    blocks[-1]["text"] += part.text
                else:
                    blocks.append({"type": "text", "text": part.text, "citations": None})
            case Think():
                blocks.append({"type": "thinking", "thinking": part.text, "signature": part.signature or ""})
            case Redacted():
                blocks.append({"type": "redacted_thinking", "data": part.data})
            case Call():
                given = json.loads(part.arguments or "{}")
                tool_id = call_id(part, context, len(blocks), "toolu")
                blocks.append({"type": "tool_use", "id": tool_id, "name": part.name, "input": given})
            case _:
                pass
    return {
        "id": f"msg_{context.number}",
        "type": "message",
        "role": "assistant",
        "model": context.model,
        "content": blocks,
        "stop_reason": _ANTHROPIC_STOP[reply.finish_reason],
        "stop_sequence": None,
        "usage": _anthropic_usage(reply, context),
    }


def anthropic_stream(reply: Reply, context: Context) -> Frames:  # noqa: C901 - one arm for each kind of part
    """Named events; blocks open and close."""
    usage = _anthropic_usage(reply, context)
    message = {**anthropic_body(Reply(parts=()), context), "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _event({"type": "message_start", "message": message})
    yield _event({"type": "ping"})
    index = -1
    text_open = False

    def start(block: Json, *, piece: bool = False) -> Frame:
        return _event({"type": "content_block_start", "index": index, "content_block": block}, piece=piece)

    def delta(value: Json, *, piece: bool = True) -> Frame:
        return _event({"type": "content_block_delta", "index": index, "delta": value}, piece=piece)

    def stop() -> Frame:
        return _event({"type": "content_block_stop", "index": index})

    for part in reply.parts:
        if text_open and not isinstance(part, Say | Gate | CutHere):
            yield stop()
            text_open = False
        match part:
            case Say():
                if not text_open:
                    index, text_open = index + 1, True
                    yield start({"type": "text", "text": ""})
                for text in part.pieces:
                    yield delta({"type": "text_delta", "text": text})
            case Think():
                index += 1
                yield start({"type": "thinking", "thinking": "", "signature": ""})
                for text in part.pieces:
                    yield delta({"type": "thinking_delta", "thinking": text})
                if part.signature is not None:
                    yield delta({"type": "signature_delta", "signature": part.signature}, piece=False)
                yield stop()
            case Redacted():
                index += 1
                yield start({"type": "redacted_thinking", "data": part.data}, piece=True)
                yield stop()
            case Call():
                index += 1
                tool_id = call_id(part, context, index, "toolu")
                yield start({"type": "tool_use", "id": tool_id, "name": part.name, "input": {}}, piece=True)
                yield delta({"type": "input_json_delta", "partial_json": ""}, piece=False)
                for text in part.pieces:
                    yield delta({"type": "input_json_delta", "partial_json": text})
                yield stop()
            case StreamError():
                error = {"type": part.code, "message": part.message}
                yield _event({"type": "error", "error": error, "request_id": f"req_{context.number}"})
                return
            case Gate() | CutHere():
                yield part
            case other:
                assert_never(other)
    if text_open:
        yield stop()
    end = {"stop_reason": _ANTHROPIC_STOP[reply.finish_reason], "stop_sequence": None}
    yield _event({"type": "message_delta", "delta": end, "usage": usage})
    yield _event({"type": "message_stop"})


def anthropic_view(body: Mapping[str, Any]) -> View:
    system, _ = _content(body.get("system"))
    turns: list[Turn] = []
    for message in body.get("messages", []):
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "".join(block["text"] for block in blocks if block["type"] == "text")
        results = []
        images = sum(block["type"] == "image" for block in blocks)
        for block in blocks:
            if block["type"] == "tool_result":
                result_text, result_images = _content(block.get("content"))
                results.append((block["tool_use_id"], result_text))
                images += result_images
        thinking = [
            (block.get("thinking", ""), block.get("signature") or block.get("data") or "")
            for block in blocks
            if block["type"] in ("thinking", "redacted_thinking")
        ]
        calls = [
            (block["id"], block["name"], json.dumps(block["input"], ensure_ascii=False))
            for block in blocks
            if block["type"] == "tool_use"
        ]
        if results:
            turns.append(Turn("tool", results=tuple(results), images=images))
            if text:
                turns.append(Turn("user", text))
        else:
            turns.append(Turn(message["role"], text, tuple(calls), (), tuple(thinking), images))
    choice = body.get("tool_choice") or {}
    return View(
        system,
        tuple(turns),
        tuple(tool["name"] for tool in body.get("tools") or ()),
        _choice(choice) if choice else None,
    )


# Google generateContent


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _unb64(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        return text


_GOOGLE_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}


def _google_usage(reply: Reply, context: Context) -> Json:
    usage = reply.usage
    prompt = usage.prompt if usage.prompt is not None else context.prompt_tokens
    counts = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": usage.completion - usage.reasoning,
        "totalTokenCount": prompt + usage.completion,
    }
    if usage.cached:
        counts["cachedContentTokenCount"] = usage.cached
    if usage.reasoning:
        counts["thoughtsTokenCount"] = usage.reasoning
    return counts


def _google_parts(reply: Reply) -> Iterator[Json | Gate | CutHere | StreamError]:  # noqa: C901 - one arm for each kind of part
    """Parts as Gemini sends them: the signature of a thought stands on the part that follows it."""
    signature: str | None = None

    def signed(part: Json, own: str | None = None) -> Json:
        nonlocal signature
        mark, signature = own or signature, None
        return {**part, "thoughtSignature": _b64(mark)} if mark else part

    for part in reply.parts:
        match part:
            case Say():
                for text in part.pieces:
                    yield signed({"text": text})
            case Think():
                for text in part.pieces:
                    yield {"text": text, "thought": True}
                signature = part.signature
            case Call():
                named = {"name": part.name, "args": json.loads(part.arguments or "{}")}
                yield signed({"functionCall": {**named, "id": part.id} if part.id else named}, part.signature)
            case Redacted():
                pass
            case Gate() | CutHere() | StreamError():
                yield part
            case other:
                assert_never(other)
    if signature:
        yield signed({"text": ""})


def google_stream(reply: Reply, context: Context) -> Frames:
    """One `GenerateContentResponse` per event."""
    tail = {"modelVersion": context.model, "responseId": f"resp-{context.number}"}
    usage = _google_usage(reply, context)
    for part in _google_parts(reply):
        if isinstance(part, Gate | CutHere):
            yield part
        elif isinstance(part, StreamError):
            yield _data({"error": {"code": 500, "message": part.message, "status": "INTERNAL"}})
            return
        else:
            candidate = {"content": {"parts": [part], "role": "model"}, "index": 0}
            yield _data({"candidates": [candidate], "usageMetadata": usage, **tail}, piece=True)
    end = {
        "content": {"parts": [{"text": ""}], "role": "model"},
        "finishReason": _GOOGLE_FINISH[reply.finish_reason],
        "index": 0,
    }
    yield _data({"candidates": [end], "usageMetadata": usage, **tail})


def google_body(reply: Reply, context: Context) -> Json:
    """One `GenerateContentResponse`."""
    parts = [part for part in _google_parts(reply) if isinstance(part, dict)]
    finish = _GOOGLE_FINISH[reply.finish_reason]
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}],
        "usageMetadata": _google_usage(reply, context),
        "modelVersion": context.model,
        "responseId": f"resp-{context.number}",
    }


def google_view(body: Mapping[str, Any]) -> View:
    def texts(parts: list[Json]) -> str:
        return "".join(part.get("text") or "" for part in parts if not part.get("thought"))

    system = texts((body.get("systemInstruction") or {}).get("parts", []))
    turns: list[Turn] = []
    for content in body.get("contents", []):
        parts = content["parts"]
        results = []
        for part in parts:
            if "functionResponse" in part:
                response = part["functionResponse"]
                value = response.get("response", {})
                shown = value.get("output", value.get("return_value", value.get("result", value.get("error", value))))
                text = shown if isinstance(shown, str) else json.dumps(shown)
                results.append((response.get("id") or response["name"], text))
        images = sum("inlineData" in part for part in parts)
        calls = [
            (
                part["functionCall"].get("id") or "",
                part["functionCall"]["name"],
                json.dumps(part["functionCall"].get("args", {})),
            )
            for part in parts
            if "functionCall" in part
        ]
        thinking = [
            (part.get("text", "") if part.get("thought") else "", _unb64(part.get("thoughtSignature", "")))
            for part in parts
            if part.get("thought") or part.get("thoughtSignature")
        ]
        if results:
            turns.append(Turn("tool", results=tuple(results), images=images))
        else:
            role = "assistant" if content.get("role") == "model" else "user"
            turns.append(Turn(role, texts(parts), tuple(calls), (), tuple(thinking), images))
    tools = [item["name"] for tool in body.get("tools") or () for item in tool.get("functionDeclarations") or ()]
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    allowed = config.get("allowedFunctionNames")
    return View(system, tuple(turns), tuple(tools), allowed[0] if allowed and len(allowed) == 1 else config.get("mode"))


# Bedrock converse


def _aws_event(kind: str, payload: Json, *, piece: bool = False, exception: bool = False) -> Frame:
    """One message of AWS's binary event stream."""
    body = _dump(payload)
    headers = b""
    names = {":exception-type" if exception else ":event-type": kind, ":content-type": "application/json"}
    for name, value in {**names, ":message-type": "exception" if exception else "event"}.items():
        headers += struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
    prelude = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return Frame(message + struct.pack("!I", zlib.crc32(message)), piece)


_BEDROCK_STOP = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "content_filtered",
}


def _bedrock_usage(reply: Reply, context: Context) -> Json:
    usage = _anthropic_usage(reply, context)
    return {
        "inputTokens": usage["input_tokens"],
        "outputTokens": usage["output_tokens"],
        "totalTokens": usage["input_tokens"] + usage["output_tokens"],
        "cacheReadInputTokens": usage["cache_read_input_tokens"],
        "cacheWriteInputTokens": usage["cache_creation_input_tokens"],
    }


def bedrock_stream(reply: Reply, context: Context) -> Frames:  # noqa: C901 - one arm for each kind of part
    """ConverseStream events."""
    yield _aws_event("messageStart", {"role": "assistant"})
    index = -1
    text_open = False

    def delta(value: Json, *, piece: bool = True) -> Frame:
        return _aws_event("contentBlockDelta", {"delta": value, "contentBlockIndex": index}, piece=piece)

    def stop() -> Frame:
        return _aws_event("contentBlockStop", {"contentBlockIndex": index})

    for part in reply.parts:
        if text_open and not isinstance(part, Say | Gate | CutHere):
            yield stop()
            text_open = False
        match part:
            case Say():
                if not text_open:
                    index, text_open = index + 1, True
                for text in part.pieces:
                    yield delta({"text": text})
            case Think():
                index += 1
                for text in part.pieces:
                    yield delta({"reasoningContent": {"text": text}})
                if part.signature is not None:
                    yield delta({"reasoningContent": {"signature": part.signature}}, piece=False)
                yield stop()
            case Redacted():
                index += 1
                yield delta({"reasoningContent": {"redactedContent": _b64(part.data)}})
                yield stop()
            case Call():
                index += 1
                tool = {"toolUse": {"toolUseId": call_id(part, context, index, "tooluse"), "name": part.name}}
                yield _aws_event("contentBlockStart", {"start": tool, "contentBlockIndex": index}, piece=True)
                for text in part.pieces:
                    yield delta({"toolUse": {"input": text}})
                yield stop()
            case StreamError():
                yield _aws_event("internalServerException", {"message": part.message}, exception=True)
                return
            case Gate() | CutHere():
                yield part
            case other:
                assert_never(other)
    if text_open:
        yield stop()
    yield _aws_event("messageStop", {"stopReason": _BEDROCK_STOP[reply.finish_reason]})
    yield _aws_event("metadata", {"usage": _bedrock_usage(reply, context), "metrics": {"latencyMs": 1}})


def bedrock_body(reply: Reply, context: Context) -> Json:
    """One Converse answer."""
    content: list[Json] = []
    for part in reply.parts:
        match part:
            case Say():
                content.append({"text": part.text})
            case Think():
                thought = {"text": part.text, **({"signature": part.signature} if part.signature else {})}
                content.append({"reasoningContent": {"reasoningText": thought}})
            case Call():
                tool_id = call_id(part, context, len(content), "tooluse")
                given = json.loads(part.arguments or "{}")
                content.append({"toolUse": {"toolUseId": tool_id, "name": part.name, "input": given}})
            case _:
                pass
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": _BEDROCK_STOP[reply.finish_reason],
        "usage": _bedrock_usage(reply, context),
        "metrics": {"latencyMs": 1},
    }


def bedrock_view(body: Mapping[str, Any]) -> View:
    system = "".join(item.get("text", "") for item in body.get("system") or ())
    turns: list[Turn] = []
    for message in body.get("messages", []):
        content = message["content"]
        text = "".join(item["text"] for item in content if "text" in item)
        results = []
        images = sum("image" in item for item in content)
        for item in content:
            if "toolResult" in item:
                inner = item["toolResult"]["content"]
                shown = "".join(
                    piece["text"] if "text" in piece else json.dumps(piece["json"])
                    for piece in inner
                    if "text" in piece or "json" in piece
                )
                results.append((item["toolResult"]["toolUseId"], shown))
                images += sum("image" in piece for piece in inner)
        calls = [
            (item["toolUse"]["toolUseId"], item["toolUse"]["name"], json.dumps(item["toolUse"]["input"]))
            for item in content
            if "toolUse" in item
        ]
        thinking = []
        for item in content:
            reasoning = item.get("reasoningContent")
            if reasoning and "reasoningText" in reasoning:
                thinking.append(
                    (reasoning["reasoningText"].get("text", ""), reasoning["reasoningText"].get("signature", ""))
                )
            elif reasoning:
                thinking.append(("", _unb64(str(reasoning.get("redactedContent", "")))))
        if results:
            turns.append(Turn("tool", results=tuple(results), images=images))
            if text:
                turns.append(Turn("user", text))
        else:
            turns.append(Turn(message["role"], text, tuple(calls), (), tuple(thinking), images))
    config = body.get("toolConfig") or {}
    choice = config.get("toolChoice") or {}
    named = choice.get("tool", {}).get("name") if "tool" in choice else next(iter(choice), None)
    tools = [tool["toolSpec"]["name"] for tool in config.get("tools") or () if "toolSpec" in tool]
    return View(system, tuple(turns), tuple(tools), named)


# The table of dialects


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one wire format is spoken."""

    name: str
    stream: Callable[[Reply, Context], Frames]
    body: Callable[[Reply, Context], Json]
    view: Callable[[Mapping[str, Any]], View]
    failure: Callable[[Failure], Json]
    stream_type: str = "text/event-stream; charset=utf-8"


def _openai_failure(failure: Failure) -> Json:
    kinds = {401: "invalid_request_error", 429: "rate_limit_error", 404: "invalid_request_error"}
    kind = kinds.get(failure.status, "invalid_request_error" if failure.status < 500 else "server_error")
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": failure.code}}


_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _anthropic_failure(failure: Failure) -> Json:
    kind = failure.code or _ANTHROPIC_ERRORS.get(failure.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": failure.message}, "request_id": "req_scripted"}


_GOOGLE_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _google_failure(failure: Failure) -> Json:
    status = failure.code or _GOOGLE_ERRORS.get(failure.status, "UNKNOWN")
    error: Json = {"code": failure.status, "message": failure.message, "status": status}
    if "retry-after" in failure.headers:
        delay = f"{failure.headers['retry-after']}s"
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    return {"error": error}


_BEDROCK_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def bedrock_error_type(failure: Failure) -> str:
    """The value of `x-amzn-ErrorType`."""
    return failure.code or _BEDROCK_ERRORS.get(failure.status, "InternalServerException")


CHAT = Dialect(name="openai-chat", stream=chat_stream, body=chat_body, view=chat_view, failure=_openai_failure)
RESPONSES = Dialect(
    name="openai-responses", stream=responses_stream, body=responses_body, view=responses_view, failure=_openai_failure
)
ANTHROPIC = Dialect(
    name="anthropic", stream=anthropic_stream, body=anthropic_body, view=anthropic_view, failure=_anthropic_failure
)
GOOGLE = Dialect(name="google", stream=google_stream, body=google_body, view=google_view, failure=_google_failure)
BEDROCK = Dialect(
    name="bedrock",
    stream=bedrock_stream,
    body=bedrock_body,
    view=bedrock_view,
    failure=lambda failure: {"message": failure.message},
    stream_type="application/vnd.amazon.eventstream",
)
DIALECTS = {dialect.name: dialect for dialect in (CHAT, RESPONSES, ANTHROPIC, GOOGLE, BEDROCK)}

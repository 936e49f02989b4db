"""Messages to the form they have in agent files, and back.

A file has one message for each turn; here reasoning, words and calls of one reply are records
of their own. Some older servers wrapped what users and tools said in JSON; that is undone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from reverie.domain.agent_file import FileContent, FileMessage
from reverie.domain.content import ImagePart, Part, TextPart, ToolCall, ToolReturn, join_text
from reverie.domain.json import JsonObject
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
    Body,
    Decision,
    EventBody,
    Message,
    PromptBody,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
)

_REPLY: Final = (AssistantBody, ReasoningBody, ToolCallBody)
_OK: Final = "OK"
_WRAPPERS: Final = ("user_message", "system_alert")
"""What older servers called the JSON around words; other JSON is what somebody really said."""


def turns_of_history(history: Sequence[Message]) -> list[list[Message]]:
    """`history` cut where a file's messages are; what is only a note is left out."""
    turns: list[list[Message]] = []
    for message in history:
        if isinstance(message.body, EventBody):
            continue
        last = turns[-1][-1] if turns else None
        joins = (
            last is not None
            and message.step_id is not None
            and message.step_id == last.step_id
            and isinstance(message.body, _REPLY)
            and isinstance(last.body, _REPLY)
        )
        if joins:
            turns[-1].append(message)
        else:
            turns.append([message])
    return turns


def file_message(turn: Sequence[Message], file_id: str, agent_file_id: str) -> FileMessage:
    """One turn as a file has it."""
    first = turn[0]
    body = first.body
    common: dict[str, Any] = {
        "id": file_id,
        "agent_id": agent_file_id,
        "name": first.name,
        "otid": first.otid,
        "sender_id": first.sender_id,
        "model": first.model,
        "created_at": first.created_at,
    }
    match body:
        case PromptBody():
            return FileMessage(role="system", content=_texts(body.text), **common)
        case SystemBody():
            return FileMessage(role="system", content=_dumped(body.parts), **common)
        case UserBody():
            return FileMessage(role="user", content=_dumped(body.parts), **common)
        case SummaryBody():
            packed: JsonObject = {"type": "system_alert", "message": body.text, "time": first.created_at.isoformat()}
            if body.stats:
                packed["compaction_stats"] = body.stats
            return FileMessage(role="summary", content=_texts(json.dumps(packed, ensure_ascii=False)), **common)
        case ToolReturnBody():
            return _file_returns(body, first, common)
        case ApprovalResponseBody():
            return _file_answer(body, common)
        case ApprovalRequestBody():
            return FileMessage(role="approval", content=[], tool_calls=_file_calls(body.calls), **common)
        case AssistantBody() | ReasoningBody() | ToolCallBody() | EventBody():
            return _file_reply(turn, common)


def _file_reply(turn: Sequence[Message], common: Mapping[str, Any]) -> FileMessage:
    content: list[JsonObject] = []
    calls: list[ToolCall] = []
    for message in turn:
        match message.body:
            case ReasoningBody() as body:
                content.append(_file_reasoning(body))
            case AssistantBody(parts=parts):
                content += _dumped(parts)
            case ToolCallBody(calls=more):
                calls += more
            case _:
                pass
    return FileMessage(role="assistant", content=content, tool_calls=_file_calls(calls), **common)


def _file_reasoning(body: ReasoningBody) -> JsonObject:
    ours = {"origin": body.provider, "item_id": body.item_id}
    if body.redacted is not None:
        return {"type": "redacted_reasoning", "data": body.redacted, **ours}
    return {"type": "reasoning", "is_native": True, "reasoning": body.text, "signature": body.signature, **ours}


def _file_calls(calls: Iterable[ToolCall]) -> tuple[JsonObject, ...]:
    found = []
    for call in calls:
        item: JsonObject = {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        if call.signature is not None:
            item["signature"] = call.signature
        found.append(item)
    return tuple(found)


def _file_returns(body: ToolReturnBody, message: Message, common: Mapping[str, Any]) -> FileMessage:
    returns: tuple[JsonObject, ...] = tuple(
        {
            "tool_call_id": item.tool_call_id,
            "status": item.status,
            "func_response": _packed(item, message.created_at.isoformat()),
            "stdout": list(item.stdout),
            "stderr": list(item.stderr),
            "name": item.name,
        }
        for item in body.returns
    )
    shown: FileContent = returns[0]["func_response"] if returns else ""
    return FileMessage(
        role="tool",
        content=_texts(shown) if isinstance(shown, str) else shown,
        tool_call_id=body.returns[0].tool_call_id if returns else None,
        tool_returns=returns,
        **common,
    )


def _packed(item: ToolReturn, moment: str) -> FileContent:
    if any(isinstance(part, ImagePart) for part in item.content):
        return _dumped(item.content)
    status = _OK if item.status == "success" else "Failed"
    return json.dumps({"status": status, "message": item.text, "time": moment}, ensure_ascii=False)


def _file_answer(body: ApprovalResponseBody, common: Mapping[str, Any]) -> FileMessage:
    decisions: list[JsonObject] = [
        {"type": "approval", "tool_call_id": item.tool_call_id, "approve": item.approve, "reason": item.reason}
        for item in body.decisions
    ]
    returns: list[JsonObject] = [
        {
            "type": "tool",
            "tool_call_id": item.tool_call_id,
            "status": item.status,
            "func_response": item.text,
            "stdout": list(item.stdout),
            "stderr": list(item.stderr),
            "name": item.name,
        }
        for item in body.returns
    ]
    denied = next((item for item in body.decisions if not item.approve), None)
    return FileMessage(
        role="approval",
        content=[],
        approve=denied is None,
        denial_reason=None if denied is None else denied.reason,
        approvals=(*decisions, *returns),
        **common,
    )


def _texts(text: str) -> list[JsonObject]:
    return [{"type": "text", "text": text}]


def _dumped(parts: Iterable[Part]) -> list[JsonObject]:
    found: list[JsonObject] = []
    for part in parts:
        match part:
            case TextPart():
                found.append({"type": "text", "text": part.text})
            case ImagePart():
                source = {"type": "base64", "media_type": part.media_type, "data": part.data, "detail": part.detail}
                found.append({"type": "image", "source": source})
    return found


def bodies_of(message: FileMessage, names: Mapping[str, str], asked: Sequence[str] = ()) -> list[Body]:
    """What becomes of a file's message here, in order; several where one reply had several parts.

    `names` says which tool each call so far was of, `asked` which calls the last request for an
    approval was about.
    """
    match message.role:
        case "user":
            return [UserBody(parts=_parts(message.content, unpack=True))]
        case "system":
            return [SystemBody(parts=_parts(message.content))]
        case "summary":
            return [SummaryBody(text=join_text(_parts(message.content, unpack=True)))]
        case "tool" | "function":
            returns = _returns(message, names)
            return [ToolReturnBody(returns=returns)] if returns else []
        case "assistant":
            return _reply(message, gated=False)
        case "approval":
            if message.tool_calls:
                return _reply(message, gated=True)
            return [_answer(message, names, asked)]


def calls_in(message: FileMessage) -> dict[str, str]:
    """Id of each call that the message asks for, to the name of its tool."""
    return {call.id: call.name for call in _calls(message.tool_calls, gated=False)}


def _reply(message: FileMessage, *, gated: bool) -> list[Body]:
    bodies: list[Body] = []
    for item in _items(message.content):
        match item.get("type"):
            case "reasoning":
                bodies.append(_reasoning(item, text=_text(item.get("reasoning")), redacted=None))
            case "redacted_reasoning":
                bodies.append(_reasoning(item, text="", redacted=_text(item.get("data"))))
    words = _parts(message.content)
    if join_text(words) or any(isinstance(part, ImagePart) for part in words):
        bodies.append(AssistantBody(parts=words))
    calls = tuple(_calls(message.tool_calls, gated=gated))
    if calls:
        bodies.append(ApprovalRequestBody(calls=calls) if gated else ToolCallBody(calls=calls))
    return bodies


def _reasoning(item: JsonObject, *, text: str, redacted: str | None) -> ReasoningBody:
    signature, item_id = item.get("signature"), item.get("item_id")
    return ReasoningBody(
        text=text,
        redacted=redacted,
        signature=signature if isinstance(signature, str) else None,
        item_id=item_id if isinstance(item_id, str) else None,
        provider=_text(item.get("origin")),
    )


def _calls(items: Iterable[JsonObject], *, gated: bool) -> Iterable[ToolCall]:
    for item in items:
        function = item.get("function")
        if not isinstance(function, dict) or not item.get("id"):
            continue
        arguments, signature = function.get("arguments"), item.get("signature")
        yield ToolCall(
            id=str(item["id"]),
            name=_text(function.get("name")),
            arguments=arguments if isinstance(arguments, str) else json.dumps(arguments or {}),
            requires_approval=gated,
            signature=signature if isinstance(signature, str) else None,
        )


def _returns(message: FileMessage, names: Mapping[str, str]) -> tuple[ToolReturn, ...]:
    """The results, from the list where there is one, else from the message itself as older files have it."""
    if message.tool_returns:
        listed: Iterable[JsonObject] = message.tool_returns
        found = [
            _return({"tool_call_id": message.tool_call_id, "func_response": message.content, "name": message.name}
                    | {key: value for key, value in item.items() if value is not None}, names)
            for item in listed
        ]  # fmt: skip
        return tuple(item for item in found if item.tool_call_id)
    if not message.tool_call_id:
        return ()
    alone = {"tool_call_id": message.tool_call_id, "func_response": message.content, "name": message.name}
    return (_return(alone, names),)


def _return(item: JsonObject, names: Mapping[str, str]) -> ToolReturn:
    call_id = str(item.get("tool_call_id") or "")
    given = item.get("func_response")
    packed = _unpacked(given, ("status",))
    content = (TextPart(text=_text(packed["message"])),) if packed else _parts(given)
    failed = item.get("status") == "error" or (
        item.get("status") is None and packed is not None and packed.get("status") not in (None, _OK)
    )
    return ToolReturn(
        tool_call_id=call_id,
        name=names.get(call_id) or _text(item.get("name")),
        status="error" if failed else "success",
        content=content,
        stdout=_lines(item.get("stdout")),
        stderr=_lines(item.get("stderr")),
    )


def _answer(message: FileMessage, names: Mapping[str, str], asked: Sequence[str]) -> ApprovalResponseBody:
    decisions: list[Decision] = []
    returns: list[ToolReturn] = []
    for item in message.approvals:
        if item.get("type") == "approval":
            reason = item.get("reason")
            decisions.append(
                Decision(
                    tool_call_id=str(item.get("tool_call_id")),
                    approve=bool(item.get("approve")),
                    reason=reason if isinstance(reason, str) else None,
                )
            )
        else:
            returns.append(
                _return({**item, "func_response": item.get("func_response", item.get("tool_return"))}, names)
            )
    if not message.approvals and message.approve is not None:
        decisions = [
            Decision(tool_call_id=call_id, approve=message.approve, reason=message.denial_reason) for call_id in asked
        ]
    return ApprovalResponseBody(request_id=None, decisions=tuple(decisions), returns=tuple(returns))


def _items(content: object) -> list[JsonObject]:
    if isinstance(content, str):
        return _texts(content)
    if not isinstance(content, list):
        return _texts(_text(content))
    return [item if isinstance(item, dict) else {"type": "text", "text": _text(item)} for item in content]


def _parts(content: object, *, unpack: bool = False) -> tuple[Part, ...]:
    found: list[Part] = []
    for item in _items(content):
        source = item.get("source")
        if item.get("type") == "image" and isinstance(source, dict) and source.get("data"):
            media_type = _text(source.get("media_type")) or "image/png"
            found.append(ImagePart(media_type=media_type, data=_text(source["data"]), detail=_detail(source)))
        elif item.get("type", "text") == "text":
            text = _text(item.get("text"))
            packed = _unpacked(text, ("type",)) if unpack else None
            wrapped = packed is not None and packed["type"] in _WRAPPERS
            found.append(TextPart(text=packed["message"] if packed is not None and wrapped else text))
    return tuple(found)


def _detail(source: JsonObject) -> Literal["low", "high", "auto"] | None:
    detail = source.get("detail")
    return detail if detail in ("low", "high", "auto") else None


def _unpacked(text: object, also: tuple[str, ...]) -> JsonObject | None:
    """The JSON object with a `message`, and with what is named by `also`, that `text` is; None for ordinary words."""
    if isinstance(text, list) and len(text) == 1 and isinstance(text[0], dict):
        text = text[0].get("text")
    if not isinstance(text, str) or not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    whole = isinstance(found, dict) and isinstance(found.get("message"), str) and all(name in found for name in also)
    return found if whole else None


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _lines(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_text(item) for item in value)
    return (value,) if isinstance(value, str) and value else ()

"""A reply while the model writes it: chunks in, deltas out, messages at the end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from reverie.domain.clock import Clock
from reverie.domain.content import ToolCall
from reverie.domain.events import ReasoningDelta, TextDelta, ToolCallDelta
from reverie.domain.ids import MessageId, RunId, StepId, make_id, make_otid
from reverie.domain.message import (
    ApprovalRequestBody,
    AssistantBody,
    Body,
    ReasoningBody,
    ToolCallBody,
    text_parts,
)
from reverie.models.base import CallChunk, Chunk, FinishChunk, ReasoningChunk, TextChunk, UsageChunk

Gate: TypeAlias = Literal["open", "asks", "asks_once_checked", "shut"]
"""Whether a call may run, waits for an answer from outside first, or will be refused whatever anybody answers.

`asks_once_checked`: nobody is to see it as a question before it is whole, because its arguments may still shut it.
"""


@dataclass(slots=True)
class _Piece:
    """A message that is being written."""

    message_id: MessageId
    otid: str
    begun_at: datetime


@dataclass(slots=True)
class _Text(_Piece):
    text: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Reasoning(_Piece):
    text: list[str] = field(default_factory=list)
    signature: str | None = None
    redacted: str | None = None
    item_id: str | None = None


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    gate: Gate
    arguments: list[str] = field(default_factory=list)
    signature: str | None = None

    @property
    def gated(self) -> bool:
        return self.gate in ("asks", "asks_once_checked")

    def whole(self) -> ToolCall:
        return ToolCall(
            id=self.id,
            name=self.name,
            arguments="".join(self.arguments) or "{}",
            requires_approval=self.gated,
            signature=self.signature,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """A finished piece of a reply, ready to become a message."""

    message_id: MessageId
    otid: str
    body: Body


class Draft:
    """Collects one reply. `gate` tells what a call of a tool, made after calls of those named, may do."""

    def __init__(
        self,
        *,
        run_id: RunId,
        step_id: StepId,
        reasoning_origin: str,
        gate: Callable[[str, Sequence[str]], Gate],
        taken_call_ids: frozenset[str],
        clock: Clock,
    ) -> None:
        self.run_id = run_id
        self.step_id = step_id
        self.started_at = clock()
        self._clock = clock
        self.usage: UsageChunk | None = None
        self.finish: FinishChunk | None = None
        self._origin = reasoning_origin
        self._gate = gate
        self._taken = set(taken_call_ids)
        self._pieces: list[_Text | _Reasoning] = []
        self._calls: dict[int, _Call] = {}
        self._call_messages: dict[bool, _Piece] = {}
        self._held: list[_Call] = []

    @property
    def is_empty(self) -> bool:
        """Neither text nor a call was written; reasoning alone counts for nothing."""
        return not self._calls and not any(isinstance(piece, _Text) for piece in self._pieces)

    @property
    def has_calls(self) -> bool:
        """At least one call was begun."""
        return bool(self._calls)

    @property
    def is_cut_short(self) -> bool:
        """It ended at its token limit."""
        return self.finish is not None and self.finish.reason == "length"

    def take(self, chunk: Chunk) -> TextDelta | ReasoningDelta | ToolCallDelta | None:
        """Add what the model wrote; what readers are shown of it."""
        match chunk:
            case TextChunk():
                return self.add_text(chunk) if chunk.text else None
            case ReasoningChunk():
                return self.add_reasoning(chunk)
            case CallChunk():
                return self.add_call(chunk)
            case UsageChunk():
                self.usage = chunk
                return None
            case FinishChunk():
                self.finish = chunk
                return None

    def add_text(self, chunk: TextChunk) -> TextDelta:
        """Take a piece of text."""
        piece = self._pieces[-1] if self._pieces else None
        if not isinstance(piece, _Text):
            piece = _Text(*self._begun())
            self._pieces.append(piece)
        date = None if piece.text else piece.begun_at
        piece.text.append(chunk.text)
        return TextDelta(
            run_id=self.run_id,
            step_id=self.step_id,
            message_id=piece.message_id,
            otid=piece.otid,
            date=date,
            text=chunk.text,
        )

    def add_reasoning(self, chunk: ReasoningChunk) -> ReasoningDelta | None:
        """Take a piece of reasoning; None when it holds nothing to show."""
        piece = self._pieces[-1] if self._pieces else None
        if not isinstance(piece, _Reasoning) or _begins_another(piece, chunk):
            piece = _Reasoning(*self._begun())
            self._pieces.append(piece)
        date = None if any(piece.text) else piece.begun_at
        piece.text.append(chunk.text)
        piece.signature = chunk.signature or piece.signature
        piece.redacted = chunk.redacted or piece.redacted
        piece.item_id = chunk.item_id or piece.item_id
        if not chunk.text:
            return None
        return ReasoningDelta(
            run_id=self.run_id,
            step_id=self.step_id,
            message_id=piece.message_id,
            otid=piece.otid,
            date=date,
            text=chunk.text,
            signature=chunk.signature,
        )

    def add_call(self, chunk: CallChunk) -> ToolCallDelta | None:
        """Take a piece of a call; None where there is nothing to show: no name yet, or all to be checked first."""
        call = self._calls.get(chunk.index)
        first = call is None
        if call is None:
            name = chunk.name or ""
            call = _Call(id=self._free_call_id(chunk.id), name=name, gate=self._gate(name, self._made()))
            self._calls[chunk.index] = call
        elif chunk.name and not call.name:
            gate = self._gate(chunk.name, self._made())
            call.name, call.gate, first = chunk.name, gate, True
        call.arguments.append(chunk.arguments)
        call.signature = chunk.signature or call.signature
        if not call.name or (not first and not chunk.arguments) or call.gate == "asks_once_checked":
            return None
        message = self._call_message(call.gated)
        return ToolCallDelta(
            run_id=self.run_id,
            step_id=self.step_id,
            message_id=message.message_id,
            otid=message.otid,
            date=message.begun_at if first else None,
            tool_call_id=call.id,
            name=call.name if first else None,
            arguments=chunk.arguments,
            requires_approval=call.gated,
        )

    def ask_only(self, is_hopeless: Callable[[ToolCall, Sequence[str]], bool]) -> None:
        """Have no answer waited for to calls that would be refused anyway, now that the reply is whole."""
        self._held = [call for call in self._calls.values() if call.name and call.gate == "asks_once_checked"]
        before = [call.name for call in self._calls.values() if call.name and call.gate == "open"]
        gated = [call for call in self._calls.values() if call.name and call.gated]
        for call in gated:
            if is_hopeless(call.whole(), before):
                call.gate = "shut"
            else:
                before.append(call.name)
        streamed = self._call_messages.get(True)
        if streamed is not None and not any(call.gated for call in gated) and False not in self._call_messages:
            self._call_messages[False] = self._call_messages.pop(True)  # as which it was streamed

    def held_back(self, settled: Callable[[ToolCall], ToolCall]) -> list[ToolCallDelta]:
        """What was not shown of calls before their arguments were checked; `settled`: a call as it is asked about."""
        return [
            ToolCallDelta(
                run_id=self.run_id,
                step_id=self.step_id,
                message_id=self._call_message(call.gated).message_id,
                otid=self._call_message(call.gated).otid,
                date=self._call_message(call.gated).begun_at,
                tool_call_id=call.id,
                name=call.name,
                arguments=(settled(call.whole()) if call.gated else call.whole()).arguments,
                requires_approval=call.gated,
            )
            for call in self._held
        ]

    def written(self, *, with_calls: bool = True) -> list[Written]:
        """The reply as messages, calls last; gated calls stand behind the others."""
        done = [item for item in (self._finished(piece) for piece in self._pieces) if item is not None]
        if not with_calls:
            return [item for item in done if isinstance(item.body, AssistantBody)]
        for gated in (False, True):
            calls = tuple(call.whole() for call in self._calls.values() if call.gated is gated and call.name)
            if calls:
                message = self._call_message(gated)
                body = ApprovalRequestBody(calls=calls) if gated else ToolCallBody(calls=calls)
                done.append(Written(message.message_id, message.otid, body))
        return done

    def _made(self) -> tuple[str, ...]:
        return tuple(call.name for call in self._calls.values() if call.name and call.gate != "shut")

    def _finished(self, piece: _Text | _Reasoning) -> Written | None:
        text = "".join(piece.text)
        if isinstance(piece, _Text):
            return Written(piece.message_id, piece.otid, AssistantBody(parts=text_parts(text))) if text else None
        return Written(
            piece.message_id,
            piece.otid,
            ReasoningBody(
                text=text,
                signature=piece.signature,
                redacted=piece.redacted,
                item_id=piece.item_id,
                provider=self._origin,
            ),
        )

    def _call_message(self, gated: bool) -> _Piece:
        if gated not in self._call_messages:
            self._call_messages[gated] = _Piece(*self._begun())
        return self._call_messages[gated]

    def _begun(self) -> tuple[MessageId, str, datetime]:
        otid = make_otid(len(self._pieces) + len(self._call_messages))
        return MessageId(make_id("message")), otid, self._clock()

    def _free_call_id(self, wanted: str | None) -> str:
        # Some servers number their calls anew in each reply; results are paired by id, so a
        # second `call_0` in one context would get the first one's result.
        call_id = wanted if wanted and wanted not in self._taken else make_id("call")
        self._taken.add(call_id)
        return call_id


def _begins_another(piece: _Reasoning, chunk: ReasoningChunk) -> bool:
    if chunk.redacted is not None or piece.redacted is not None:
        return True
    return chunk.item_id is not None and piece.item_id is not None and chunk.item_id != piece.item_id

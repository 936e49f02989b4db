"""Prompts and readings that several suites share."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reverie.domain.content import ImagePart, TextPart, ToolCall, ToolReturn
from reverie.domain.tool import ToolSpec
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    ChatModel,
    Chunk,
    FinishChunk,
    Prompt,
    ReasoningChunk,
    ReasoningPart,
    TextChunk,
    ToolTurn,
    Turn,
    UsageChunk,
    UserTurn,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ADD = ToolSpec(
    name="add",
    description="Adds two numbers.",
    parameters={
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
)
LOOK = ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})


def user(text: str) -> UserTurn:
    return UserTurn(parts=(TextPart(text=text),))


def picture() -> ImagePart:
    return ImagePart(media_type="image/png", data=PNG)


def called(
    call_id: str, name: str = "add", arguments: str = '{"a": 2, "b": 3}', signature: str | None = None
) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments, signature=signature)


def returned(call_id: str, text: str, name: str = "add") -> ToolReturn:
    return ToolReturn(tool_call_id=call_id, name=name, status="success", content=(TextPart(text=text),))


def ask(*turns: Turn, system: str = "Be brief.", tools: tuple[ToolSpec, ...] = ()) -> Prompt:
    return Prompt(system=system, turns=turns or (user("Hi"),), tools=tools)


@dataclass
class Reading:
    """The chunks of one reply, put together as the loop does."""

    chunks: list[Chunk] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks if isinstance(chunk, TextChunk))

    @property
    def reasoning(self) -> list[ReasoningChunk]:
        return [chunk for chunk in self.chunks if isinstance(chunk, ReasoningChunk)]

    @property
    def calls(self) -> list[ToolCall]:
        made: dict[int, ToolCall] = {}
        for chunk in self.chunks:
            if isinstance(chunk, CallChunk):
                before = made.get(chunk.index)
                made[chunk.index] = ToolCall(
                    id=chunk.id or (before.id if before else ""),
                    name=chunk.name or (before.name if before else ""),
                    arguments=(before.arguments if before else "") + chunk.arguments,
                    signature=chunk.signature or (before.signature if before else None),
                )
        return [made[index] for index in sorted(made)]

    @property
    def usage(self) -> UsageChunk | None:
        return next((chunk for chunk in reversed(self.chunks) if isinstance(chunk, UsageChunk)), None)

    @property
    def finish(self) -> str | None:
        return self.chunks[-1].reason if self.chunks and isinstance(self.chunks[-1], FinishChunk) else None

    def turn(self, origin: str) -> AssistantTurn:
        """The reply as the next prompt shows it."""
        parts: list[TextPart | ReasoningPart | ToolCall | ImagePart] = []
        previous: ReasoningChunk | None = None
        for chunk in self.chunks:
            if isinstance(chunk, ReasoningChunk):
                last = parts[-1] if parts else None
                same = (
                    isinstance(last, ReasoningPart)
                    and previous is not None
                    and previous.item_id == chunk.item_id
                    and previous.redacted == chunk.redacted
                )
                if same and isinstance(last, ReasoningPart):
                    parts[-1] = ReasoningPart(
                        text=last.text + chunk.text,
                        signature=chunk.signature or last.signature,
                        redacted=last.redacted,
                        item_id=last.item_id,
                        origin=origin,
                    )
                else:
                    parts.append(
                        ReasoningPart(
                            text=chunk.text,
                            signature=chunk.signature,
                            redacted=chunk.redacted,
                            item_id=chunk.item_id,
                            origin=origin,
                        )
                    )
                previous = chunk
            elif isinstance(chunk, TextChunk):
                last = parts[-1] if parts else None
                if isinstance(last, TextPart):
                    parts[-1] = TextPart(text=last.text + chunk.text)
                else:
                    parts.append(TextPart(text=chunk.text))
        return AssistantTurn(parts=(*parts, *self.calls))


async def read(model: ChatModel, prompt: Prompt) -> Reading:
    return Reading([chunk async for chunk in model.stream(prompt)])


def results(pairs: Iterable[tuple[str, str]]) -> ToolTurn:
    return ToolTurn(returns=tuple(returned(call_id, text) for call_id, text in pairs))

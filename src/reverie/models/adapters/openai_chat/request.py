"""A prompt as the request body of OpenAI's chat format."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import orjson

from reverie.domain.content import ImagePart, Part, TextPart, ToolCall, ToolReturn, join_text
from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.openai_chat.quirks import ChatQuirks
from reverie.models.adapters.translate import arguments_text, is_strict, strict_schema, wire_name
from reverie.models.base import (
    AssistantTurn,
    GenerationSettings,
    Prompt,
    ReasoningPart,
    SystemTurn,
    ToolChoice,
    ToolTurn,
    Turn,
    UserTurn,
)
from reverie.models.profiles import is_openai_reasoner


@dataclass(frozen=True, slots=True)
class _Writer:
    """Builds one request body."""

    info: ModelInfo
    quirks: ChatQuirks
    origin: str

    @property
    def _reasons(self) -> bool:
        return self.quirks.openai_fields and is_openai_reasoner(self.info.name)

    @property
    def _limit_name(self) -> str:
        """OpenAI's reasoning models refuse the old name, also behind a gateway that only passes on."""
        newer = self.quirks.openai_fields or is_openai_reasoner(self.info.name)
        return "max_completion_tokens" if newer else "max_tokens"

    def body(self, prompt: Prompt) -> JsonObject:
        messages = [self._system(prompt.system)] if prompt.system else []
        for turn in prompt.turns:
            messages += self._turn(turn)
        body: JsonObject = {"model": self.info.name, "messages": messages, "stream": True}
        if self.quirks.stream_usage:
            body["stream_options"] = {"include_usage": True}
        if prompt.tools:
            body["tools"] = [self._tool(prompt, at) for at in range(len(prompt.tools))]
            body["tool_choice"] = self._choice(prompt.tool_choice)
            if prompt.settings.parallel_tool_calls is not None and self.quirks.parallel_tool_calls:
                body["parallel_tool_calls"] = prompt.settings.parallel_tool_calls
        body.update(self._settings(prompt))
        return body

    def _system(self, text: str) -> JsonObject:
        return {"role": "developer" if self._reasons else "system", "content": text}

    def _turn(self, turn: Turn) -> list[JsonObject]:
        match turn:
            case SystemTurn(parts=parts):
                text = join_text(parts)
                if self.quirks.system_anywhere:
                    return [self._system(text)]
                return [{"role": "user", "content": f"<system>\n{text}\n</system>"}]
            case UserTurn(parts=parts, name=name):
                message: JsonObject = {"role": "user", "content": _content(parts)}
                if name:
                    message["name"] = wire_name(name)
                return [message]
            case AssistantTurn():
                return [self._reply(turn)]
            case ToolTurn(returns=returns):
                return self._results(returns)
            case other:
                assert_never(other)

    def _reply(self, turn: AssistantTurn) -> JsonObject:
        if len(turn.parts) == 1 and isinstance(first := turn.parts[0], TextPart):  # most of a long context
            return {"role": "assistant", "content": first.text}
        text = "".join(part.text for part in turn.parts if isinstance(part, TextPart))
        calls = [part for part in turn.parts if isinstance(part, ToolCall)]
        reasoning = [part for part in turn.parts if isinstance(part, ReasoningPart) and part.origin == self.origin]
        message: JsonObject = {"role": "assistant", "content": text if text or not calls else None}
        if reasoning and self.quirks.reasoning_return == "reasoning_content":
            message["reasoning_content"] = "".join(part.text for part in reasoning)
        elif reasoning and self.quirks.reasoning_return == "reasoning_details":
            message["reasoning_details"] = [_detail(part) for part in reasoning]
        if calls:
            message["tool_calls"] = [
                {
                    "id": self._call_id(call.id),
                    "type": "function",
                    "function": {"name": wire_name(call.name), "arguments": arguments_text(call.arguments)},
                }
                for call in calls
            ]
        return message

    def _results(self, returns: Sequence[ToolReturn]) -> list[JsonObject]:
        """Tool messages hold text only: images follow in one message of the user."""
        messages: list[JsonObject] = []
        images: list[Part] = []
        for result in returns:
            pictures = [part for part in result.content if isinstance(part, ImagePart)]
            text = result.text or ("See the attached image." if pictures else "")
            call_id = self._call_id(result.tool_call_id)
            messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            if pictures:
                images += [TextPart(text=f"Image returned by {result.name} ({call_id}):"), *pictures]
        if images:
            messages.append({"role": "user", "content": _content(tuple(images))})
        return messages

    def _call_id(self, given: str) -> str:
        limit = self.quirks.call_id_chars
        if self.quirks.call_id_exact:
            fits = len(given) == limit and given.isalnum()
        else:
            fits = len(given) <= limit
        return given if fits else hashlib.sha256(given.encode()).hexdigest()[: min(limit, 32)]

    def _tool(self, prompt: Prompt, at: int) -> JsonObject:
        tool = prompt.tools[at]
        function: JsonObject = {
            "name": wire_name(tool.name),
            "description": tool.description,
            "parameters": tool.parameters,
        }
        if prompt.settings.strict and self.quirks.strict and is_strict(tool):
            function |= {"parameters": strict_schema(tool.parameters), "strict": True}
        return {"type": "function", "function": function}

    def _choice(self, choice: ToolChoice) -> JsonValue:
        if choice.mode == "named" and choice.name:
            return {"type": "function", "function": {"name": wire_name(choice.name)}}
        return self.quirks.required_word if choice.mode in ("required", "named") else choice.mode

    def _settings(self, prompt: Prompt) -> JsonObject:
        settings = prompt.settings
        body: JsonObject = {}
        if settings.max_output_tokens is not None:
            body[self._limit_name] = settings.max_output_tokens
        if not self._reasons:  # reasoning models of OpenAI refuse all of these
            body |= _sampling(settings)
        if settings.response_format is not None:
            body["response_format"] = settings.response_format
        if settings.verbosity is not None and self.quirks.verbosity:
            body["verbosity"] = settings.verbosity
        return body | self._reasoning(settings.reasoning_effort, settings.thinking_budget_tokens)

    def _reasoning(self, effort: str | None, budget: int | None) -> JsonObject:
        kind = self.quirks.reasoning_request
        if effort is None or kind == "none" or (self.quirks.openai_fields and not self._reasons):
            return {}
        if kind == "thinking":
            return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
        known = nearest_effort(effort, self.quirks.efforts)
        if known is None:
            return {}
        if kind == "openrouter":
            return {"reasoning": {"max_tokens": budget} if budget else {"effort": known}}
        return {"reasoning_effort": known}


_SCALE: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def nearest_effort(effort: str, known: Sequence[str]) -> str | None:
    """The known effort nearest to what is asked; None: nothing asked and nothing like it known."""
    if effort in known:
        return effort
    if effort == "none":
        return None
    wanted = _SCALE.index(effort)
    return min(
        (word for word in known if word != "none"), key=lambda word: abs(_SCALE.index(word) - wanted), default=None
    )


def _content(parts: Sequence[Part]) -> JsonValue:
    if len(parts) == 1 and isinstance(first := parts[0], TextPart):
        return first.text
    if all(isinstance(part, TextPart) for part in parts):
        if len(parts) == 1 or not parts:
            return join_text(tuple(parts))
        return [{"type": "text", "text": part.text} for part in parts if isinstance(part, TextPart)]
    items: list[JsonObject] = []
    for part in parts:
        match part:
            case TextPart(text=text):
                items.append({"type": "text", "text": text})
            case ImagePart(data=data, detail=detail):
                image: JsonObject = {"url": f"data:{part.true_type};base64,{data}"}
                if detail:
                    image["detail"] = detail
                items.append({"type": "image_url", "image_url": image})
            case other:
                assert_never(other)
    return items


def _detail(part: ReasoningPart) -> JsonObject:
    """One of OpenRouter's reasoning details; all but the text travelled in our signature."""
    kept = orjson.loads(part.redacted or part.signature or "{}")
    detail: JsonObject = {"type": "reasoning.text", **(kept if isinstance(kept, dict) else {})}
    if part.text:
        detail["summary" if detail["type"] == "reasoning.summary" else "text"] = part.text
    return detail


def to_chat(prompt: Prompt, info: ModelInfo, quirks: ChatQuirks, origin: str) -> JsonObject:
    """The request body for `prompt`."""
    return _Writer(info, quirks, origin).body(prompt)


def _sampling(settings: GenerationSettings) -> JsonObject:
    """How the next word is chosen."""
    wanted: JsonObject = {
        "temperature": settings.temperature,
        "frequency_penalty": settings.frequency_penalty,
        "presence_penalty": settings.presence_penalty,
        "top_p": settings.top_p,
        "stop": list(settings.stop) or None,
        "logprobs": None if settings.top_logprobs is None else True,
        "top_logprobs": settings.top_logprobs,
    }
    return {name: value for name, value in wanted.items() if value is not None}

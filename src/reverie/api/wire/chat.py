"""What OpenAI's clients send. Source: `CompletionCreateParams` of the `openai` package, read 2026-11."""

from typing import Literal

from pydantic import Field

from reverie.api.wire.base import Body, Whole
from reverie.api.wire.content import Content, content_to_domain
from reverie.domain.content import ToolReturn
from reverie.domain.errors import InvalidInput, MalformedInput
from reverie.domain.ids import is_id
from reverie.domain.inputs import ApprovalInput, MessageInput, Request, SayInput, TurnOptions
from reverie.domain.json import JsonObject


class ChatMessage(Body):
    """One message of the client's copy of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    name: str | None = None
    tool_call_id: str | None = None


class StreamOptions(Body):
    """What of a stream is wanted."""

    include_usage: bool = False


class ChatRequest(Body):
    """A turn of an agent, in OpenAI's chat format."""

    model: str | None = None
    """The agent's id."""
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: Whole | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    max_tokens: Whole | None = Field(default=None, ge=1)
    max_completion_tokens: Whole | None = Field(default=None, ge=1)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str | None = None

    def agent_id(self) -> str:
        """The agent that `model` names.

        Raises:
            MalformedInput: it names none.
        """
        name = (self.model or "").rpartition("/")[2]
        if not is_id(name, "agent"):
            raise MalformedInput("model", f"{self.model!r} is not the id of an agent, of the form 'agent-<uuid>'")
        return name

    def to_domain(self) -> Request:
        """The turn.

        The agent remembers what was said, so only what comes after the client's last message of
        the assistant is new. Instructions are the agent's own: `system` and `developer` messages
        are passed over.

        Raises:
            InvalidInput: what an agent cannot do, or nothing new in the messages.
        """
        if self.n is not None and self.n > 1:
            raise InvalidInput("n: an agent goes on in one way only; leave n out or set it to 1")
        return Request(inputs=self._inputs(), options=TurnOptions(settings=self._settings()))

    def _inputs(self) -> tuple[MessageInput, ...]:
        last = max((place for place, item in enumerate(self.messages) if item.role == "assistant"), default=-1)
        fresh = self.messages[last + 1 :]
        results = tuple(
            ToolReturn(
                tool_call_id=item.tool_call_id or "",
                name=item.name or "",
                status="success",
                content=content_to_domain(item.content or ""),
            )
            for item in fresh
            if item.role == "tool"
        )
        said = tuple(
            SayInput(role="user", parts=content_to_domain(item.content), name=item.name, sender_id=self.user)
            for item in fresh
            if item.role == "user" and item.content is not None
        )
        if not said and not results:
            raise InvalidInput("messages: no message of the user follows the last one of the assistant")
        return (*((ApprovalInput(returns=results),) if results else ()), *said)

    def _settings(self) -> JsonObject:
        wanted: JsonObject = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "max_output_tokens": self.max_completion_tokens or self.max_tokens,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
        }
        return {name: value for name, value in wanted.items() if value is not None}

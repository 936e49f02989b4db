"""Requests that make agents work. Source: `MessageCreateParams` and kin, client SDK, read 2026-11."""

from typing import Final

from pydantic import Field, model_validator

from reverie.api.encode.views import MessageType, View
from reverie.api.wire.base import MOST, Body, Whole
from reverie.api.wire.content import Content, content_to_domain
from reverie.api.wire.inputs import MessageInputBody
from reverie.api.wire.readers import reader_state
from reverie.domain.errors import MalformedInput
from reverie.domain.inputs import BusyPolicy, ClientSkill, MessageInput, Request, SayInput, TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec

MAX_STEPS: Final = 50


class ClientToolBody(Body):
    """A tool that the client runs itself."""

    name: str = Field(min_length=1)
    description: str | None = None
    parameters: JsonObject | None = None


class ClientSkillBody(Body):
    """A capability of the client's environment."""

    name: str
    description: str
    location: str


class SendMessages(Body):
    """A message request."""

    messages: list[MessageInputBody] | None = None
    input: Content | None = None
    max_steps: int = Field(default=MAX_STEPS, ge=1, le=MOST)
    use_assistant_message: bool = True
    assistant_message_tool_name: str = "send_message"
    assistant_message_tool_kwarg: str = "message"
    include_return_message_types: list[MessageType] | None = None
    enable_thinking: bool | str = True
    client_tools: list[ClientToolBody] | None = None
    client_skills: list[ClientSkillBody] | None = None
    override_model: str | None = None
    override_system: str | None = None
    include_compaction_messages: bool = False
    return_logprobs: bool = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    return_token_ids: bool = False
    busy_policy: BusyPolicy | None = None
    """What becomes of the message while a run is active in the conversation: it waits (`enqueue`), is refused with 409
    (`reject`), or cancels that run and takes its place (`interrupt`). Null: as the agent's metadata `busy_policy` or
    the server's REVERIE_BUSY_POLICY has it. Not part of the SDK; send it as an extra field of the body."""

    @model_validator(mode="after")
    def _says_something(self) -> "SendMessages":
        if self.input is not None and self.messages is not None:
            raise ValueError("'input' and 'messages' say the same thing; send one of them")
        if not self.messages and self.input is None:
            raise ValueError("messages must not be empty; send 'messages', or 'input' with the user's words")
        return self

    def inputs(self) -> tuple[MessageInput, ...]:
        """The inputs, in order."""
        if self.input is not None:
            return (SayInput(role="user", parts=content_to_domain(self.input)),)
        return tuple(item.to_domain() for item in self.messages or ())

    def options(self) -> TurnOptions:
        """How the turn shall go."""
        return TurnOptions(
            max_steps=self.max_steps,
            override_model=self.override_model,
            override_system=self.override_system,
            client_tools=tuple(
                ToolSpec(
                    name=tool.name,
                    description=tool.description or "",
                    parameters={"type": "object", "properties": {}, **(tool.parameters or {})},
                )
                for tool in self.client_tools or ()
            ),
            client_skills=tuple(
                ClientSkill(name=skill.name, description=skill.description, location=skill.location)
                for skill in self.client_skills or ()
            ),
            enable_thinking=str(self.enable_thinking).lower() not in ("false", "0", "no"),
            include_compaction_messages=self.include_compaction_messages,
            top_logprobs=self.top_logprobs,
        )

    def to_domain(self, *, background: bool = False, tokens: bool = False, callback_url: str | None = None) -> Request:
        """The request, as operations take it."""
        return Request(
            inputs=self.inputs(),
            options=self.options(),
            background=background,
            when_busy=self.busy_policy,
            callback_url=callback_url,
            reader=reader_state(self.view(), tokens=tokens),
        )

    def view(self) -> View:
        """How the answer shall look."""
        types = self.include_return_message_types
        return View(
            use_assistant_message=self.use_assistant_message,
            tool_name=self.assistant_message_tool_name,
            tool_kwarg=self.assistant_message_tool_kwarg,
            types=None if types is None else frozenset(types),
            compaction=self.include_compaction_messages,
        )


class StreamMessages(SendMessages):
    """A message request that may ask for a stream."""

    streaming: bool | None = None
    stream_tokens: bool = False
    include_pings: bool = False
    background: bool = False

    def checked(self, streaming: bool) -> "StreamMessages":
        """This request, once its options fit.

        Raises:
            MalformedInput: options of streams without a stream.
        """
        if not streaming:
            for name in ("stream_tokens", "background"):
                if getattr(self, name):
                    raise MalformedInput(name, f"{name} needs a stream; set 'streaming' to true or leave {name} out")
        return self


class AgentMessages(StreamMessages):
    """A message to an agent's own thread; answers at once unless a stream is asked for."""


class ConversationMessages(StreamMessages):
    """A message to a conversation; a stream unless it is declined."""

    agent_id: str | None = None


class AsyncMessages(SendMessages):
    """A message whose run is followed later."""

    callback_url: str | None = Field(default=None, pattern=r"^https?://")


class RetrieveStream(Body):
    """How to follow a run that is already there."""

    agent_id: str | None = None
    run_id: str | None = None
    otid: str | None = None
    starting_after: int = Field(default=0, ge=0, le=MOST)
    include_pings: bool | None = None
    poll_interval: float | None = None
    batch_size: Whole | None = None


class ResetMessages(Body):
    """How to empty an agent's thread."""

    add_default_initial_messages: bool = False


class CancelRuns(Body):
    """Which runs to cancel; none named: every live one."""

    run_ids: list[str] | None = None

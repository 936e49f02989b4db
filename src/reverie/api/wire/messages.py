"""What clients send into a conversation. Source: `MessageCreateParams` and kin, client SDK, read 2026-11."""

import base64
import binascii
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator
from typing_extensions import TypedDict

from reverie.api.encode.messages import MessageType, View
from reverie.api.wire.base import MOST, Body, Whole
from reverie.domain.clock import aware
from reverie.domain.content import ImagePart, Part, TextPart, ToolReturn, join_text
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import check_id
from reverie.domain.inputs import ApprovalInput, BusyPolicy, ClientSkill, MessageInput, Request, SayInput, TurnOptions
from reverie.domain.json import JsonObject
from reverie.domain.message import Decision, MessageKind, MessageScope
from reverie.domain.passage import SearchQuery
from reverie.domain.run import Run
from reverie.domain.tool import ToolSpec
from reverie.operations.messages import Captured, Rewording, thread_of

MAX_STEPS: Final = 50
_DATA_URL: Final = re.compile(r"^data:(?P<media>[\w.+-]+/[\w.+-]+)?;base64,(?P<data>.*)$", re.DOTALL)


class ImageSource(Body):
    """Where an image's bytes are: a URL, base64, or a file the server knows."""

    type: Literal["url", "base64", "letta"] | None = None
    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    file_id: str | None = None

    def to_domain(self) -> ImagePart:
        """The image. One given by an outside URL has no bytes yet; `api.images` fetches them.

        Raises:
            MalformedInput: no bytes and no URL, or bytes that are not base64.
        """
        if self.data:
            return _image(self.data, self.media_type, None, self.detail)
        if self.url:
            inline = _DATA_URL.match(self.url)
            if inline is not None:
                return _image(inline["data"], inline["media"], None, self.detail)
            return ImagePart(media_type="", data="", url=self.url, detail=self.detail)
        raise MalformedInput("content.source", "an image needs a 'url', or 'data' with its 'media_type'")


def _image(data: str, media_type: str | None, url: str | None, detail: str | None) -> ImagePart:
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedInput("content.source.data", f"not base64: {error}") from error
    return ImagePart(media_type=media_type or "image/png", data=data, url=url, detail=detail)


class ContentBody(Body):
    """One part of a message's content, of any kind clients may send."""

    type: (
        Literal[
            "text",
            "image",
            "image_url",
            "tool_call",
            "tool_return",
            "reasoning",
            "redacted_reasoning",
            "omitted_reasoning",
            "summarized_reasoning",
        ]
        | None
    ) = None
    text: str | None = None
    source: ImageSource | None = None
    image_url: ImageSource | str | None = None
    """The shape of OpenAI's chat format."""
    content: str | None = None
    """The text of a `tool_return` part."""

    def to_domain(self) -> Part | None:
        """The part; None for reasoning, which clients may echo but no model takes from them.

        Raises:
            MalformedInput: the part lacks what its type needs, or is a call.
        """
        match self.type:
            case "image" | "image_url":
                source = self.source
                if source is None and self.image_url is not None:
                    found = self.image_url
                    source = ImageSource(url=found) if isinstance(found, str) else found
                if source is None:
                    raise MalformedInput("content.source", "an image part needs a 'source'")
                return source.to_domain()
            case "tool_return":
                return TextPart(text=self.content or "")
            case "tool_call":
                raise MalformedInput("content.type", "'tool_call' parts are written by the model; send text or images")
            case "reasoning" | "redacted_reasoning" | "omitted_reasoning" | "summarized_reasoning":
                return None
            case _:
                if self.text is None:
                    raise MalformedInput("content.text", "a text part needs 'text'")
                return TextPart(text=self.text)


Content: TypeAlias = str | list[ContentBody]


def content_to_domain(content: Content) -> tuple[Part, ...]:
    """Message content, given as a string or as parts."""
    if isinstance(content, str):
        return (TextPart(text=content),)
    parts = (part.to_domain() for part in content)
    return tuple(part for part in parts if part is not None)


class MessageCreate(Body):
    """A message of the user, of the system, or words put into the agent's mouth."""

    type: Literal["message"] | None = None
    role: Literal["user", "system", "assistant"]
    content: Content
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None

    def to_domain(self) -> SayInput:
        """The input."""
        return SayInput(
            role=self.role,
            parts=content_to_domain(self.content),
            otid=self.otid,
            name=self.name,
            sender_id=self.sender_id,
            group_id=self.group_id,
        )


class ApprovalReturnBody(Body):
    """A person's answer to one call."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


class ToolReturnBody(Body):
    """What came of a call that the client ran itself."""

    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: Content
    status: Literal["success", "error"]
    stdout: list[str] | None = None
    stderr: list[str] | None = None

    def to_domain(self) -> ToolReturn:
        """The result; its tool's name is found by the call's id."""
        return ToolReturn(
            tool_call_id=self.tool_call_id,
            name="",
            status=self.status,
            content=content_to_domain(self.tool_return),
            stdout=tuple(self.stdout or ()),
            stderr=tuple(self.stderr or ()),
        )


def _answer_type(item: Any) -> str:
    found = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    if found is None:
        found = "approval" if isinstance(item, dict) and "approve" in item else "tool"
    return str(found)


Answer: TypeAlias = Annotated[
    Annotated[ApprovalReturnBody, Tag("approval")] | Annotated[ToolReturnBody, Tag("tool")],
    Discriminator(
        _answer_type,
        custom_error_type="answer_type",
        custom_error_message="the 'type' of an answer to a call is 'approval' or 'tool'",
    ),
]


class ApprovalCreate(Body):
    """Answers to gated calls; the old form is one `approve` for the whole request."""

    type: Literal["approval"] = "approval"
    approvals: list[Answer] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None
    group_id: str | None = None
    otid: str | None = None

    @model_validator(mode="after")
    def _answers_something(self) -> "ApprovalCreate":
        if not self.approvals and self.approve is None:
            raise ValueError("an approval needs 'approvals', or 'approve' in its old form")
        return self

    def to_domain(self) -> ApprovalInput:
        """The input."""
        answers = self.approvals or []
        return ApprovalInput(
            decisions=tuple(
                Decision(tool_call_id=item.tool_call_id, approve=item.approve, reason=item.reason)
                for item in answers
                if isinstance(item, ApprovalReturnBody)
            ),
            returns=tuple(item.to_domain() for item in answers if isinstance(item, ToolReturnBody)),
            approve_all=None if answers else self.approve,
            reason=self.reason,
            request_id=self.approval_request_id,
            otid=self.otid,
            group_id=self.group_id,
        )


class ToolReturnCreate(Body):
    """Results of calls that the client ran itself."""

    type: Literal["tool_return"] = "tool_return"
    tool_returns: list[ToolReturnBody] = Field(min_length=1)
    group_id: str | None = None
    otid: str | None = None

    def to_domain(self) -> ApprovalInput:
        """The input."""
        return ApprovalInput(
            returns=tuple(item.to_domain() for item in self.tool_returns), otid=self.otid, group_id=self.group_id
        )


def _input_type(item: Any) -> str:
    if not isinstance(item, dict):
        return str(getattr(item, "type", None) or "message")
    found = item.get("type")
    if found is None:
        found = "approval" if "approve" in item or "approvals" in item or "approval_request_id" in item else "message"
        found = "tool_return" if "tool_returns" in item else found
    return str(found)


MessageInputBody: TypeAlias = Annotated[
    Annotated[MessageCreate, Tag("message")]
    | Annotated[ApprovalCreate, Tag("approval")]
    | Annotated[ToolReturnCreate, Tag("tool_return")],
    Discriminator(
        _input_type,
        custom_error_type="input_type",
        custom_error_message="the 'type' of an input is 'message' (or none), 'approval' or 'tool_return'",
    ),
]


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
        if not self.messages and not self.input:
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
                    parameters=tool.parameters or {"type": "object", "properties": {}},
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


def reader_state(view: View, *, tokens: bool) -> JsonObject:
    """How a run is read, as it is stored with the run."""
    return {
        "use_assistant_message": view.use_assistant_message,
        "assistant_message_tool_name": view.tool_name,
        "assistant_message_tool_kwarg": view.tool_kwarg,
        "include_return_message_types": None if view.types is None else sorted(view.types),
        "include_compaction_messages": view.compaction,
        "stream_tokens": tokens,
    }


def reader_of(run: Run) -> JsonObject:
    """How the run's first reader saw it; empty for a run that names none."""
    found = run.request.get("reader")
    return found if isinstance(found, dict) else {}


def view_of(reader: JsonObject) -> View:
    """The view that `reader_state` stored."""
    default = View()
    types = reader.get("include_return_message_types")
    return View(
        use_assistant_message=bool(reader.get("use_assistant_message", True)),
        tool_name=reader.get("assistant_message_tool_name") or default.tool_name,
        tool_kwarg=reader.get("assistant_message_tool_kwarg") or default.tool_kwarg,
        types=None if types is None else frozenset(types),
        compaction=bool(reader.get("include_compaction_messages", False)),
    )


class MessageSearch(Body):
    """What to look for among messages."""

    query: str | None = None
    search_mode: Literal["vector", "fts", "hybrid"] = "hybrid"
    roles: list[Literal["user", "assistant", "system", "tool", "function", "approval", "summary"]] | None = None
    agent_id: str | None = None
    conversation_id: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    limit: int = Field(default=50, ge=1, le=100)
    start_date: datetime | None = None
    end_date: datetime | None = None

    def to_domain(self) -> SearchQuery:
        """What to look for; without words the newest."""
        return SearchQuery(
            text=self.query or "",
            mode="text" if self.search_mode == "fts" else self.search_mode,
            limit=self.limit,
            start=aware(self.start_date),
            end=aware(self.end_date),
        )

    def scope(self) -> MessageScope:
        """Among which messages to look.

        Raises:
            MalformedInput: an id of the wrong form.
        """
        return MessageScope(
            agent_id=None if self.agent_id is None else check_id(self.agent_id, "agent", "agent_id"),
            conversation_id=None if self.conversation_id is None else thread_of(self.conversation_id, self.agent_id),
            roles=[_ROLES.get(role, role) for role in self.roles or ()],
            project_id=self.project_id,
            template_id=self.template_id,
        )


_ROLES: Final = {"function": "tool"}
"""Old names of roles."""


_UPDATED_KINDS: Final[dict[str, frozenset[MessageKind]]] = {
    "system_message": frozenset({MessageKind.PROMPT, MessageKind.SYSTEM}),
    "user_message": frozenset({MessageKind.USER}),
    "assistant_message": frozenset({MessageKind.ASSISTANT, MessageKind.TOOL_CALL}),
    "reasoning_message": frozenset({MessageKind.REASONING}),
}


class MessageUpdate(Body):
    """New words for a stored message."""

    message_type: Literal["system_message", "user_message", "assistant_message", "reasoning_message"] | None = None
    content: Content | None = None
    reasoning: str | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "MessageUpdate":
        wanted = "reasoning" if self.message_type == "reasoning_message" else "content"
        if self.message_type is None and self.reasoning is not None:
            wanted = "reasoning"
        if getattr(self, wanted) is None:
            raise ValueError(f"{wanted}: say what the message shall hold")
        return self

    def to_domain(self) -> Rewording:
        """The change that operations make."""
        kind = self.message_type or ("reasoning_message" if self.content is None else None)
        every = frozenset(item for kinds in _UPDATED_KINDS.values() for item in kinds)
        content = self.reasoning if kind == "reasoning_message" else self.content
        return Rewording(kinds=every if kind is None else _UPDATED_KINDS[kind], parts=content_to_domain(content or ""))


class CaptureMessages(Body):
    """An exchange with a model that happened elsewhere."""

    provider: str | None = None
    model: str | None = None
    request_messages: list[JsonObject] = Field(default_factory=list)
    """As the model was sent them; what the user said is kept."""
    response_dict: JsonObject
    """What the model answered: its `content`."""

    def to_domain(self) -> Captured:
        """The exchange.

        Raises:
            MalformedInput: content that is neither text nor parts.
        """
        said = [item.get("content") for item in self.request_messages if item.get("role") == "user"]
        answer = join_text(_captured("response_dict.content", self.response_dict.get("content")))
        handle = f"{self.provider}/{self.model}" if self.provider and self.model else self.model
        return Captured(
            said=tuple(_captured("request_messages.content", content) for content in said), answer=answer, model=handle
        )


class CaptureState(TypedDict):
    """What became of a captured exchange."""

    success: bool
    messages_created: int
    run_ids: list[str]


_content: Final[TypeAdapter[Content]] = TypeAdapter(Content, config={"defer_build": True})


def _captured(field: str, content: object) -> tuple[Part, ...]:
    try:
        return content_to_domain(_content.validate_python(content))
    except ValidationError as error:
        raise MalformedInput(field, "text, or a list of content parts, is needed") from error

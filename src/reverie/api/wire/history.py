"""What clients do with a history: search it, put it into other words, add what was said elsewhere."""

from datetime import datetime
from typing import Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.api.wire.content import Content, content_to_domain
from reverie.domain.clock import aware
from reverie.domain.content import Part, join_text
from reverie.domain.errors import MalformedInput
from reverie.domain.ids import check_id
from reverie.domain.json import JsonObject
from reverie.domain.message import MessageKind, MessageScope
from reverie.domain.passage import SearchQuery
from reverie.operations.messages import Captured, Rewording, thread_of


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

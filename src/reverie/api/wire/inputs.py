"""What clients say to agents: words, answers to calls, results.

Source: `MessageCreateParams` and kin, client SDK, read 2026-11.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from reverie.api.wire.base import Body
from reverie.api.wire.content import Content, content_to_domain
from reverie.domain.content import ToolReturn
from reverie.domain.inputs import ApprovalInput, SayInput
from reverie.domain.message import Decision


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

"""Schedules on the wire. Source: `ScheduleCreateParams`, `ScheduleRetrieveResponse`, client SDK, read 2026-11."""

from typing import Final, Literal, NotRequired, TypeAlias, assert_never, get_args

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.api.wire.inputs import MessageCreate
from reverie.domain.content import ImagePart, Part, TextPart
from reverie.domain.inputs import SayInput
from reverie.domain.schedule import Once, Recurring, Schedule, ScheduleDraft, Timing

ReturnType: TypeAlias = Literal[
    "system_message",
    "user_message",
    "assistant_message",
    "reasoning_message",
    "hidden_reasoning_message",
    "tool_call_message",
    "tool_return_message",
    "approval_request_message",
    "approval_response_message",
]
_RETURN_TYPES: Final[dict[str, ReturnType]] = {kind: kind for kind in get_args(ReturnType)}


class ScheduledText(TypedDict):
    """Plain text."""

    type: Literal["text"]
    text: str
    signature: None


class ScheduledImageSource(TypedDict):
    """The bytes of an image."""

    type: Literal["base64"]
    media_type: str
    data: str
    detail: NotRequired[str]


class ScheduledImage(TypedDict):
    """An image."""

    type: Literal["image"]
    source: ScheduledImageSource


class ScheduledMessageCreate(TypedDict):
    """A message that will be sent."""

    type: Literal["message"]
    role: Literal["user", "assistant", "system"]
    content: str | list[ScheduledText | ScheduledImage]
    name: NotRequired[str]
    otid: NotRequired[str]
    sender_id: NotRequired[str]


class ScheduledRequest(TypedDict):
    """What will be sent, and how its run shall go."""

    messages: list[ScheduledMessageCreate]
    max_steps: NotRequired[int]
    callback_url: NotRequired[str]
    include_return_message_types: NotRequired[list[ReturnType]]


class OneTime(TypedDict):
    """At one moment."""

    type: Literal["one-time"]
    scheduled_at: float


class RecurringTime(TypedDict):
    """At every moment that fits an expression of cron."""

    type: Literal["recurring"]
    cron_expression: str


class ScheduleState(TypedDict):
    """A schedule."""

    id: str
    agent_id: str
    message: ScheduledRequest
    schedule: OneTime | RecurringTime
    next_scheduled_time: str | None


class ScheduleList(TypedDict):
    """A page of schedules."""

    scheduled_messages: list[ScheduleState]
    has_next_page: bool


class ScheduleMade(TypedDict):
    """A schedule that was made just now."""

    id: str
    next_scheduled_at: str | None


class Deleted(TypedDict):
    """It is gone."""

    success: Literal[True]


def schedule_state(schedule: Schedule) -> ScheduleState:
    """The schedule as clients read it."""
    request: ScheduledRequest = {"messages": [_message_state(item) for item in schedule.inputs]}
    if schedule.max_steps is not None:
        request["max_steps"] = schedule.max_steps
    if schedule.callback_url is not None:
        request["callback_url"] = schedule.callback_url
    if schedule.include_return_message_types is not None:
        kinds = schedule.include_return_message_types
        request["include_return_message_types"] = [_RETURN_TYPES[kind] for kind in kinds]
    return {
        "id": schedule.id,
        "agent_id": schedule.agent_id,
        "message": request,
        "schedule": _timing_state(schedule.timing),
        "next_scheduled_time": _time(schedule),
    }


def schedule_list(found: list[Schedule], limit: int) -> ScheduleList:
    """A page of at most `limit`; one more than that says that there is another."""
    return {
        "scheduled_messages": [schedule_state(item) for item in found[:limit]],
        "has_next_page": len(found) > limit,
    }


def made_state(schedule: Schedule) -> ScheduleMade:
    """The answer to a schedule's maker."""
    return {"id": schedule.id, "next_scheduled_at": _time(schedule)}


def _time(schedule: Schedule) -> str | None:
    return None if schedule.next_at is None else schedule.next_at.isoformat()


def _timing_state(timing: Timing) -> OneTime | RecurringTime:
    match timing:
        case Once(scheduled_at=number):
            return {"type": "one-time", "scheduled_at": number}
        case Recurring(cron_expression=expression):
            return {"type": "recurring", "cron_expression": expression}
        case impossible:
            assert_never(impossible)


def _message_state(item: SayInput) -> ScheduledMessageCreate:
    match item.parts:
        case (TextPart(text=text),):
            content: str | list[ScheduledText | ScheduledImage] = text
        case parts:
            content = [_part_state(part) for part in parts]
    state: ScheduledMessageCreate = {"type": "message", "role": item.role, "content": content}
    if item.name is not None:
        state["name"] = item.name
    if item.otid is not None:
        state["otid"] = item.otid
    if item.sender_id is not None:
        state["sender_id"] = item.sender_id
    return state


def _part_state(part: Part) -> ScheduledText | ScheduledImage:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text, "signature": None}
        case ImagePart():
            source: ScheduledImageSource = {"type": "base64", "media_type": part.media_type, "data": part.data}
            if part.detail is not None:
                source["detail"] = part.detail
            return {"type": "image", "source": source}
        case impossible:
            assert_never(impossible)


class OneTimeBody(Body):
    """At one moment, in milliseconds since 1970."""

    type: Literal["one-time"] = "one-time"
    scheduled_at: float = Field(allow_inf_nan=False)

    def to_domain(self) -> Timing:
        """The moment."""
        return Once(scheduled_at=self.scheduled_at)


class RecurringBody(Body):
    """At every moment that fits five fields of cron: minute, hour, day of month, month, day of week.

    They are read in the agent's time zone, or in one that stands before them: `CRON_TZ=Europe/Berlin 0 9 * * *`.
    """

    type: Literal["recurring"]
    cron_expression: str = Field(min_length=1, max_length=200)

    def to_domain(self) -> Timing:
        """The expression."""
        return Recurring(cron_expression=self.cron_expression)


class ScheduleCreate(Body):
    """Messages for an agent, and when they shall be sent."""

    messages: list[MessageCreate] = Field(min_length=1)
    schedule: RecurringBody | OneTimeBody
    max_steps: int | None = Field(default=None, ge=1, le=10_000)
    callback_url: str | None = Field(default=None, pattern=r"^https?://")
    include_return_message_types: list[ReturnType] | None = None

    def to_domain(self) -> ScheduleDraft:
        """The draft; images that were given by URL have no bytes yet."""
        types = self.include_return_message_types
        return ScheduleDraft(
            timing=self.schedule.to_domain(),
            inputs=tuple(item.to_domain() for item in self.messages),
            max_steps=self.max_steps,
            callback_url=self.callback_url,
            include_return_message_types=None if types is None else tuple(types),
        )

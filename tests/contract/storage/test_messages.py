"""What a turn reads back is what was stored, on both databases."""

from datetime import UTC, datetime

from reverie.auth.keys import LOCAL_CALLER
from reverie.domain.agent import AgentDraft
from reverie.domain.content import ImagePart, TextPart, ToolCall, ToolReturn
from reverie.domain.ids import ConversationId, MessageId, make_id
from reverie.domain.message import (
    ApprovalRequestBody,
    ApprovalResponseBody,
    AssistantBody,
    Body,
    Decision,
    EventBody,
    Message,
    MessageKind,
    ReasoningBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
)
from reverie.operations import agents
from reverie.operations.base import Operations
from reverie.storage import messages

ME = LOCAL_CALLER
TEXT = TextPart(text='Grüße, "Ada" \\ \n')
CALL = ToolCall(id="call-1", name="add", arguments='{"a": 1', requires_approval=True, signature="s")
RETURN = ToolReturn(
    tool_call_id="call-1",
    name="add",
    status="error",
    content=(TEXT, ImagePart(media_type="image/png", data="AAAA", url="https://example.org/a.png")),
    stdout=("out",),
    stderr=("err",),
    value={"deep": [1, None]},
)
BODIES: tuple[Body, ...] = (
    UserBody(parts=(TEXT,)),
    UserBody(parts=()),
    UserBody(parts=(TEXT, ImagePart(media_type="image/png", data="AAAA", detail="low"))),
    AssistantBody(parts=(TEXT,)),
    AssistantBody(parts=(TEXT, TEXT)),
    SystemBody(parts=(TEXT,)),
    ReasoningBody(text="hm", signature="x", provider="p"),
    ToolCallBody(calls=(CALL, CALL)),
    ApprovalRequestBody(calls=(CALL,)),
    ApprovalResponseBody(request_id=None, decisions=(Decision(tool_call_id="call-1", approve=False, reason="no"),)),
    ToolReturnBody(returns=(RETURN,)),
    EventBody(event_type="compaction", data={"n": 1}),
)


async def test_a_context_is_read_as_it_was_written(ops: Operations) -> None:
    agent = (await agents.create(ops, ME, AgentDraft(initial_messages=()))).agent
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def message(body: Body) -> Message:
        return Message(
            id=MessageId(make_id("message")),
            organization_id=agent.organization_id,
            agent_id=agent.id,
            conversation_id=ConversationId(agent.id),
            body=body,
            created_at=now,
            otid="otid-1",
            name="Ada",
            sender_id="user-1",
            group_id="group-1",
            is_err=True,
            model="m",
        )

    written = [message(body) for body in BODIES]
    summary = message(SummaryBody(text="before", stats={"n": 2}))
    await ops.database.write(lambda c: messages.append(c, [*written, summary]))
    read = await ops.database.read(lambda c: messages.load_context(c, ConversationId(agent.id)))
    said = [item for item in read if item.kind is not MessageKind.PROMPT]
    assert said == [summary, *written]
    assert [item.kind for item in read].index(MessageKind.SUMMARY) == len(read) - len(said)

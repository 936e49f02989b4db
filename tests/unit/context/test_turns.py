"""What a model reads, from whatever is stored."""

from datetime import UTC, datetime

from reverie.context.compaction import Cut, framed_summary, plain_summary, plan_cut, transcripts
from reverie.context.fitting import fit_turns
from reverie.context.pairing import lost_calls, open_calls
from reverie.context.tokens import estimate_prompt, estimate_text
from reverie.context.turns import LOST_RESULT, turns_of
from reverie.domain.content import ImagePart, TextPart, ToolCall, ToolReturn
from reverie.domain.ids import AgentId, ConversationId, MessageId, OrganizationId, RunId, StepId, make_id
from reverie.domain.message import (
    ApprovalRequestBody,
    AssistantBody,
    Body,
    Message,
    PromptBody,
    ReasoningBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
    text_parts,
)
from reverie.models.base import AssistantTurn, Prompt, ReasoningPart, ToolTurn, UserTurn


def message(body: Body, *, step: str | None = None) -> Message:
    return Message(
        id=MessageId(make_id("message")),
        organization_id=OrganizationId("org"),
        agent_id=AgentId("agent"),
        conversation_id=ConversationId("agent"),
        body=body,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        run_id=RunId("run"),
        step_id=None if step is None else StepId(step),
    )


def user(text: str) -> Message:
    return message(UserBody(parts=text_parts(text)))


def said(text: str, step: str) -> Message:
    return message(AssistantBody(parts=text_parts(text)), step=step)


def called(*ids: str, step: str, gated: bool = False) -> Message:
    calls = tuple(ToolCall(id=call_id, name="add", arguments="{}", requires_approval=gated) for call_id in ids)
    return message(ApprovalRequestBody(calls=calls) if gated else ToolCallBody(calls=calls), step=step)


def returned(*ids: str, text: str = "3") -> Message:
    return message(
        ToolReturnBody(
            returns=tuple(
                ToolReturn(tool_call_id=call_id, name="add", status="success", content=text_parts(text))
                for call_id in ids
            )
        )
    )


def test_one_step_is_one_turn_with_its_results_behind_it() -> None:
    turns = turns_of(
        [
            user("2+1?"),
            message(ReasoningBody(text="hm", signature="s", provider="p"), step="s1"),
            said("let me add", "s1"),
            called("c1", "c2", step="s1"),
            returned("c1", "c2"),
            said("3", "s2"),
        ]
    )
    assert [type(turn) for turn in turns] == [UserTurn, AssistantTurn, ToolTurn, AssistantTurn]
    assert isinstance(turns[1], AssistantTurn)
    assert [type(part) for part in turns[1].parts] == [ReasoningPart, TextPart, ToolCall, ToolCall]


def test_gated_and_ungated_calls_of_one_step_get_their_results_in_one_turn() -> None:
    turns = turns_of([called("c1", step="s1"), called("c2", step="s1", gated=True), returned("c1", "c2")])
    assert isinstance(turns[1], ToolTurn)
    assert [item.tool_call_id for item in turns[1].returns] == ["c1", "c2"]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    turns = turns_of([called("c1", step="s1"), user("still there?")])
    assert isinstance(turns[1], ToolTurn)
    assert turns[1].returns[0].text == LOST_RESULT
    assert turns[1].returns[0].status == "error"


def test_a_result_stored_late_stands_right_behind_its_call() -> None:
    turns = turns_of([called("c1", step="s1"), user("?"), returned("c1", text="late")])
    assert [type(turn) for turn in turns] == [AssistantTurn, ToolTurn, UserTurn]


def test_a_result_without_a_call_is_left_out() -> None:
    assert turns_of([returned("gone"), user("hi")]) == (UserTurn(parts=text_parts("hi"), name=None),)


def test_only_unanswered_gated_calls_are_undecided() -> None:
    found = open_calls([called("c1", step="s1"), called("c2", step="s1", gated=True)])
    assert found is not None
    assert [call.id for call in found.calls] == ["c1", "c2"]
    assert [call.id for call in found.undecided] == ["c2"]


def test_calls_of_earlier_steps_without_results_are_lost() -> None:
    context = [called("c1", step="s1"), user("?"), called("c2", step="s2", gated=True)]
    assert [call.id for call in lost_calls(context, waiting=open_calls(context))] == ["c1"]


def test_a_cut_never_parts_a_call_from_its_result() -> None:
    context = [message(PromptBody(text="p")), user("a"), called("c1", step="s1"), user("b"), returned("c1"), user("c")]
    for budget in (0, 10, 20, 40, 10_000):
        cut = plan_cut(context, budget_tokens=budget, asked=True)
        assert cut is not None
        leaving = {item.id for item in cut.leaving}
        assert (context[2].id in leaving) == (context[4].id in leaving)
        assert cut.staying, "the newest always stays"


def test_excerpts_fit_their_budget_and_keep_the_newest() -> None:
    text = plain_summary([user(f"line {number} " + "x" * 100) for number in range(100)], max_tokens=300)
    assert estimate_text(text) <= 300
    assert "line 99" in text
    assert "line 1 " not in text
    assert text.startswith("[older messages left out]")


def test_what_is_worked_on_is_quoted_however_often_it_leaves_and_notes_on_notes_are_framed_once() -> None:
    rest = (called("c1", step="s1"), returned("c1"))
    first = framed_summary("They met.", Cut(leaving=(user("Where is it?"),), staying=rest))
    second = framed_summary(
        plain_summary([message(first), *rest], max_tokens=300), Cut(leaving=(message(first), *rest), staying=rest)
    )
    for summary in (first, second):
        assert summary.text.endswith("you are working on:]\nWhere is it?")
        assert summary.text.count("Note from the system") == 1
        assert (summary.notes or "").startswith("They met.")
    answered = framed_summary("Found.", Cut(leaving=(message(second), *rest), staying=(user("And that?"),)))
    assert "Where is it?" not in answered.text


def test_a_transcript_comes_in_parts_that_fit_and_lose_nothing_they_need_not() -> None:
    parts = transcripts([user(f"line {number} " + "x" * 100) for number in range(50)], 300)
    assert all(estimate_text(part) <= 310 for part in parts)
    joined = "\n".join(parts)
    assert [f"line {number} " in joined for number in range(50)] == [True] * 50
    endless = transcripts([user("x" * 300) for _ in range(10_000)], 300)
    assert len(endless) == 8
    assert endless[0].startswith("[older messages left out]")


def test_who_sums_up_is_told_of_pictures() -> None:
    picture = ImagePart(media_type="image/png", data="iVBORw0KGgo=")
    shown = message(UserBody(parts=(TextPart(text="who is this?"), picture)))
    result = ToolReturn(tool_call_id="c1", name="draw", status="success", content=(picture, picture))
    lines = "".join(transcripts([shown, message(ToolReturnBody(returns=(result,)))], 300))
    assert lines == "user: who is this? [a picture]\ntool draw: [2 pictures]"


def test_a_huge_result_is_shortened_to_fit_and_its_ends_are_kept() -> None:
    turns = turns_of([called("c1", step="s1"), returned("c1", text="START" + "x" * 200_000 + "END")])
    prompt = Prompt(system="s", turns=turns)
    fitted = fit_turns(prompt, 3_000)
    assert estimate_prompt(Prompt(system="s", turns=fitted)) <= 3_000
    assert isinstance(fitted[1], ToolTurn)
    assert fitted[1].returns[0].text.startswith("START")
    assert fitted[1].returns[0].text.endswith("END")

"""Whatever a context holds: compaction never parts a call from its result, and the request always fits."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_loop import check_acceptable
from tests.unit.context.test_turns import called, message, returned, said, user

from reverie.context.compaction import (
    Cut,
    budget_of,
    framed_summary,
    plain_summary,
    plan_cut,
    transcripts,
)
from reverie.context.fitting import fit_turns
from reverie.context.pairing import open_calls
from reverie.context.tokens import clip, estimate_prompt, estimate_text
from reverie.context.turns import turns_of
from reverie.domain.content import ToolCall
from reverie.domain.message import (
    ApprovalResponseBody,
    Decision,
    Message,
    PromptBody,
    SummaryBody,
    SystemBody,
    ToolCallBody,
    ToolReturnBody,
    UserBody,
    calls_of,
    text_parts,
)
from reverie.domain.token_ratio import MOST_RATIO, TokenRatio
from reverie.models.base import Prompt

WINDOW = 4_096
LEAST_ROOM = 700
"""Tokens beside system prompt and tools in which any turn can proceed."""

_lengths = st.sampled_from([1, 9, 400, 9_000])
_words = st.builds(lambda word, times: word * times, st.sampled_from(["a", "long words ", "漢字", "x\n"]), _lengths)
_kind = st.sampled_from(["user", "system", "say", "calls", "approval", "orphan", "summary"])


@st.composite
def contexts(draw: st.DrawFn) -> list[Message]:
    """Histories as they come to be, and some that should not."""
    context: list[Message] = [message(PromptBody(text="p"))]
    for step in range(draw(st.integers(1, 14))):
        kind, words = draw(_kind), draw(_words)
        ids = [f"c{step}-{place}" for place in range(draw(st.integers(1, 3)))]
        match kind:
            case "user":
                context.append(user(words))
            case "system":
                context.append(message(SystemBody(parts=text_parts(words))))
            case "say":
                context.append(said(words, f"s{step}"))
            case "summary" if step == 0:
                context.append(message(SummaryBody(text=words)))
            case "calls":
                arguments = draw(st.sampled_from(["{}", "not json", f'{{"text": "{"y" * len(words)}"}}']))
                calls = tuple(ToolCall(id=call_id, name="add", arguments=arguments) for call_id in ids)
                context.append(message(ToolCallBody(calls=calls), step=f"s{step}"))
                context += [user("meanwhile")] * draw(st.integers(0, 1))
                context.append(returned(*ids, text=words))
            case "approval":
                context.append(called(*ids, step=f"s{step}", gated=True))
                decisions = tuple(Decision(tool_call_id=call_id, approve=True) for call_id in ids)
                context.append(message(ApprovalResponseBody(request_id=None, decisions=decisions)))
                context.append(returned(*ids, text=words))
            case "orphan":
                context.append(called(*ids, step=f"s{step}", gated=draw(st.booleans())))
            case _:
                pass
    return context


def ids_of(messages: tuple[Message, ...]) -> tuple[set[str], set[str]]:
    calls = {call.id for item in messages for call in calls_of(item.body)}
    results = {i.tool_call_id for item in messages if isinstance(item.body, ToolReturnBody) for i in item.body.returns}
    return calls, results


@settings(max_examples=150, deadline=None)
@given(contexts(), st.integers(0, 3_000), st.integers(0, 3_000), st.booleans(), st.booleans())
def test_a_cut_never_parts_a_call_from_its_result(
    context: list[Message], budget: int, room: int, keep_last: bool, asked: bool
) -> None:
    cut = plan_cut(context, budget_tokens=budget, room_tokens=max(room, budget), keep_last=keep_last, asked=asked)
    if cut is None:
        return
    assert cut.leaving
    staying, leaving = ids_of(cut.staying), ids_of(cut.leaving)
    assert not (staying[0] & leaving[1]) | (staying[1] & leaving[0])
    assert {item.id for item in (*cut.leaving, *cut.staying)} == {item.id for item in context[1:]}
    waiting = open_calls(context)
    if waiting is not None:
        assert {call.id for call in waiting.calls} <= staying[0]
    if keep_last:
        assert cut.staying


@settings(max_examples=150, deadline=None)
@given(contexts(), st.integers(0, WINDOW - LEAST_ROOM), st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.integers(0, 8_000))
def test_the_request_always_fits_and_can_be_sent(context: list[Message], fixed: int, share: float, answer: int) -> None:
    system = clip("s " * 9_000, fixed)
    budget = budget_of(WINDOW, estimate_text(system), answer)
    assert budget.total < WINDOW
    cut = plan_cut(context, budget_tokens=min(int(WINDOW * share), budget.messages), room_tokens=budget.messages)
    after = context[1:] if cut is None else _compacted(cut, budget.summary)
    prompt = Prompt(system=system, turns=turns_of(after))
    fitting = replace(prompt, turns=fit_turns(prompt, budget.total))
    assert estimate_prompt(fitting) <= budget.total
    check_acceptable(fitting)
    assert turns_of(after)[-1:] == () or fitting.turns[-1:] != ()


def _compacted(cut: Cut, tokens: int) -> list[Message]:
    text = plain_summary(cut.leaving, max_tokens=max(tokens - 60, 60))
    return [message(framed_summary(text, cut)), *cut.staying]


@settings(max_examples=80, deadline=None)
@given(contexts(), st.integers(50, 2_000))
def test_a_summarising_model_is_only_sent_what_fits(context: list[Message], room: int) -> None:
    parts = transcripts(context, room)
    assert len(parts) <= 8
    assert all(estimate_text(part) <= room + 20 for part in parts)
    told = "\n".join(parts)
    for item in context:
        if isinstance(item.body, UserBody) and len(item.body.parts) == 1 and len(parts) < 8:
            assert "user: " in told


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 10**9)), max_size=60))
def test_no_report_makes_a_ratio_odd(reports: list[tuple[int, int]]) -> None:
    ratio = TokenRatio()
    for estimated, reported in reports:
        ratio = ratio.after(estimated, reported)
    assert 0.4 <= ratio.value <= MOST_RATIO
    assert ratio.estimated(WINDOW) > 0


@pytest.mark.parametrize("true", [0.6, 1.0, 1.7])
def test_a_ratio_comes_near_what_is_reported_and_one_odd_report_hardly_moves_it(true: float) -> None:
    ratio = TokenRatio()
    for _ in range(30):
        ratio = ratio.after(1_000, int(1_000 * true))
    assert ratio.value == pytest.approx(true, rel=0.03)
    assert ratio.after(1_000, 7) == ratio
    assert ratio.after(1_000, 2_400).value == pytest.approx(true, rel=0.31)
    assert ratio.after(10, 20) == ratio

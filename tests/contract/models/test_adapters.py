"""What must hold for every adapter: one suite, all dialects."""

import asyncio
import base64
import json
import re
from contextlib import aclosing
from dataclasses import replace

import pytest
from tests.contract.models.conftest import KEY, SPEAKERS, Stage, info_for, only
from tests.contract.models.samples import ADD, LOOK, ask, called, picture, read, results, returned, user
from tests.support.provider import (
    Call,
    CutHere,
    Failure,
    Gate,
    Reply,
    Say,
    StreamError,
    Usage,
    call,
    cut,
    fail,
    hang,
    redacted,
    reply,
    say,
    think,
)

from reverie.domain.content import TextPart, ToolReturn
from reverie.domain.errors import (
    ModelAuthFailed,
    ModelBadReply,
    ModelContextOverflow,
    ModelError,
    ModelNotServed,
    ModelOutOfCredits,
    ModelOverloaded,
    ModelRateLimited,
    ModelRefused,
    ModelStreamCut,
    ModelTimedOut,
    ModelUnreachable,
)
from reverie.domain.json import JsonObject
from reverie.domain.tool import ToolSpec
from reverie.models.base import (
    AssistantTurn,
    GenerationSettings,
    ReasoningPart,
    SystemTurn,
    TextChunk,
    ToolChoice,
    ToolTurn,
    UserTurn,
)
from reverie.models.registry import KINDS, VERTEX


def test_no_adapter_is_left_out() -> None:
    tried = {speaker.adapter for speaker in SPEAKERS}
    as_google = {VERTEX}  # it differs in where it is and who may in: `test_sign_in.py`
    assert {kind.chat for kind in KINDS.values()} <= tried | as_google


async def test_text_arrives_in_the_pieces_it_was_sent_in(stage: Stage) -> None:
    stage.provider.script(say("Good ", "morn", "ing."))
    reading = await read(stage.model, ask())
    assert [chunk.text for chunk in reading.chunks if isinstance(chunk, TextChunk)] == ["Good ", "morn", "ing."]
    assert reading.finish == "stop"
    assert stage.provider.requests[0].dialect == stage.speaker.dialect


async def test_the_first_piece_is_yielded_before_the_second_is_sent(stage: Stage) -> None:
    gate = Gate()
    stage.provider.script(reply(say("one "), gate, say("two")))
    async with aclosing(stage.model.stream(ask())) as stream:
        while not isinstance(first := await anext(stream), TextChunk):
            pass
        assert first.text.startswith("one")
        gate.release()
        assert [chunk.text async for chunk in stream if isinstance(chunk, TextChunk)] == ["two"]


async def test_system_prompt_and_turns_reach_the_provider_in_order(stage: Stage) -> None:
    stage.provider.script(say("5"))
    prompt = ask(
        user("2+3?"), AssistantTurn(parts=(called("c1"),)), results([("c1", "5")]), user("Sure?"), tools=(ADD,)
    )
    await read(stage.model, prompt)
    request = stage.provider.requests[0]
    assert request.system == "Be brief."
    assert request.shape == ["system", "user", "assistant:add", "tool:5", "user"]
    assert request.tools == ("add",)
    assert json.loads(request.turns[1].calls[0][2]) == {"a": 2, "b": 3}
    assert request.turns[2].results == (("c1", "5"),)


async def test_a_system_message_between_others_is_not_lost(stage: Stage) -> None:
    stage.provider.script(say("ok"))
    await read(stage.model, ask(user("a"), SystemTurn(parts=(TextPart(text="It is noon."),)), user("b")))
    request = stage.provider.requests[0]
    assert "It is noon." in request.system + "".join(turn.text for turn in request.turns)


async def test_tool_arguments_join_to_what_the_model_wrote(stage: Stage) -> None:
    stage.provider.script(call("add", {"a": 2, "b": 3}, id="c7"))
    reading = await read(stage.model, ask(tools=(ADD,)))
    [made] = reading.calls
    assert (made.name, json.loads(made.arguments)) == ("add", {"a": 2, "b": 3})
    assert made.id == "c7"
    assert reading.finish == "tool_calls"
    if stage.speaker.streams_arguments:
        assert sum(chunk.__class__.__name__ == "CallChunk" for chunk in reading.chunks) > 2


async def test_parallel_calls_stay_apart(stage: Stage) -> None:
    stage.provider.script(reply(say("Both."), call("add", a=1, b=2), call("look"), call("add", a=3, b=4)))
    reading = await read(stage.model, ask(tools=(ADD, LOOK)))
    assert [made.name for made in reading.calls] == ["add", "look", "add"]
    assert [json.loads(made.arguments or "{}") for made in reading.calls] == [{"a": 1, "b": 2}, {}, {"a": 3, "b": 4}]
    ids = [made.id for made in reading.calls]
    assert len(set(ids)) == 3
    assert all(ids)


async def test_results_of_parallel_calls_are_returned_together(stage: Stage) -> None:
    stage.provider.script(say("done"))
    turn = AssistantTurn(parts=(TextPart(text="Both."), called("c1"), called("c2", "look", "{}")))
    back = ToolTurn(returns=(returned("c1", "3"), returned("c2", "a tree", "look")))
    await read(stage.model, ask(user("go"), turn, back, tools=(ADD, LOOK)))
    seen = [pair for turn in stage.provider.requests[0].turns for pair in turn.results]
    assert seen == [("c1", "3"), ("c2", "a tree")]


async def test_reasoning_is_returned_as_it_came(stage: Stage) -> None:
    mark = base64.b64encode(b"opaque").decode()
    stage.provider.script(reply(think("Let me see.", signature="opaque", id="rs_1"), call("add", a=2, b=3)), say("5"))
    first = await read(stage.model, ask(tools=(ADD,)))
    assert "".join(chunk.text for chunk in first.reasoning) == "Let me see."
    turn = first.turn(stage.model.reasoning_origin)
    await read(stage.model, ask(user("Hi"), turn, results([(first.calls[0].id, "5")]), tools=(ADD,)))
    thinking = stage.provider.requests[1].turns[1].thinking
    assert "".join(text for text, _ in thinking) == "Let me see."
    if stage.speaker.keeps_signatures:
        assert any(signature in ("opaque", mark) for _, signature in thinking)


async def test_reasoning_of_another_provider_is_left_out(stage: Stage) -> None:
    stage.provider.script(say("ok"))
    part = ReasoningPart(text="my secret plan", signature="c2ln", redacted=None, item_id=None, origin="other:dialect")
    turn = AssistantTurn(parts=(part, TextPart(text="Yes.")))
    only_foreign = AssistantTurn(parts=(part,))
    await read(stage.model, ask(user("a"), turn, user("b"), only_foreign, user("c")))
    assert b"my secret plan" not in stage.provider.requests[0].raw
    assert b"c2ln" not in stage.provider.requests[0].raw


@only("anthropic", "bedrock", "openai-responses")
async def test_redacted_reasoning_is_returned_verbatim(stage: Stage) -> None:
    stage.provider.script(reply(redacted("c2VjcmV0"), call("add", a=2, b=3)), say("5"))
    first = await read(stage.model, ask(tools=(ADD,)))
    turn = first.turn(stage.model.reasoning_origin)
    await read(stage.model, ask(user("Hi"), turn, results([(first.calls[0].id, "5")]), tools=(ADD,)))
    assert [mark for _, mark in stage.provider.requests[1].turns[1].thinking] == ["c2VjcmV0"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice(mode="named", name="look"), {"look", "required", "any", "ANY"}),
        (ToolChoice(mode="required"), {"required", "any", "ANY"}),
        (ToolChoice(mode="none"), {"none", "NONE", None}),
    ],
    ids=["named", "required", "none"],
)
async def test_tool_choice_is_passed_on(stage: Stage, choice: ToolChoice, expected: set[str | None]) -> None:
    stage.provider.script(say("ok"))
    await read(stage.model, replace(ask(tools=(ADD, LOOK)), tool_choice=choice))
    request = stage.provider.requests[0]
    assert request.tool_choice in expected
    if choice.mode == "named":  # either by name, or by offering only that one
        assert request.tool_choice == "look" or request.tools == ("look",)
    if request.tool_choice is None:
        assert request.tools == ()


async def test_images_reach_the_provider_from_users_and_from_tools(stage: Stage) -> None:
    stage.provider.script(say("A dot."))
    seen = ToolReturn(tool_call_id="c1", name="look", status="success", content=(TextPart(text="here"), picture()))
    prompt = ask(
        UserTurn(parts=(TextPart(text="What is this?"), picture())),
        AssistantTurn(parts=(called("c1", "look", "{}"),)),
        ToolTurn(returns=(seen,)),
        tools=(LOOK,),
    )
    await read(stage.model, prompt)
    assert sum(turn.images for turn in stage.provider.requests[0].turns) == 2


async def test_usage_tells_cached_and_reasoning_tokens(stage: Stage) -> None:
    stage.provider.script(reply(say("ok"), usage=Usage(prompt=500, completion=40, cached=300, reasoning=16)))
    usage = (await read(stage.model, ask())).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_input_tokens) == (500, 40, 300)
    if stage.speaker.dialect in ("openai-chat", "openai-responses", "google"):
        assert usage.reasoning_tokens == 16


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_unusual_end_is_told(stage: Stage, reason: str) -> None:
    stage.provider.script(reply(say("Once upon"), finish=reason))  # type: ignore[arg-type]
    assert (await read(stage.model, ask())).finish == reason


async def test_names_that_providers_refuse_are_translated_both_ways(stage: Stage) -> None:
    odd = ToolSpec(name="größe.messen v1", description="Misst.", parameters={"type": "object", "properties": {}})
    stage.provider.script(say("first"))
    await read(stage.model, ask(tools=(odd,)))
    [wire_name] = stage.provider.requests[0].tools
    assert wire_name.isascii()
    stage.provider.script(call(wire_name))
    reading = await read(stage.model, ask(tools=(odd,)))
    assert reading.calls[0].name == odd.name


async def test_arguments_the_model_once_wrote_wrongly_do_not_break_the_next_request(stage: Stage) -> None:
    stage.provider.script(say("sorry"))
    turn = AssistantTurn(parts=(called("c1", arguments='{"a": 2, "b'),))
    await read(stage.model, ask(user("Hi"), turn, results([("c1", "error: malformed arguments")]), tools=(ADD,)))
    [made] = stage.provider.requests[0].turns[1].calls
    assert '{"a": 2, "b' in json.dumps(json.loads(made[2])).replace('\\"', '"')


async def test_preview_is_the_body_that_is_sent(stage: Stage) -> None:
    prompt = ask(user("2+3?"), tools=(ADD,))
    body: JsonObject = stage.model.preview(prompt)
    assert stage.provider.requests == []
    await read(stage.model, prompt)
    assert body == stage.provider.requests[0].body


FAILURES = {
    "bad key": (fail(401, f"Incorrect API key provided: {KEY}"), ModelAuthFailed),
    "forbidden": (fail(403, "You are not allowed to sample from this model"), ModelAuthFailed),
    "no credits": (fail(402, "Payment required"), ModelOutOfCredits),
    "rate limit": (fail(429, "Too many requests", retry_after=7), ModelRateLimited),
    "context": (fail(400, "prompt is too long: 212000 tokens > 200000 maximum"), ModelContextOverflow),
    "not found": (fail(404, "no such thing"), ModelNotServed),
    "overloaded": (fail(529, "Overloaded"), ModelOverloaded),
    "unavailable": (fail(503, "try later"), ModelOverloaded),
    "broken": (fail(500, "oops"), ModelOverloaded),
    "refused content": (fail(400, "Your request was rejected by our content filter"), ModelRefused),
    "malformed": (fail(400, "temperature must be below 2"), ModelRefused),
    "gateway page": (fail(502, body="<html>Bad gateway</html>"), ModelOverloaded),
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_each_kind_of_failure_is_told_apart(stage: Stage, kind: str) -> None:
    scripted, expected = FAILURES[kind]
    assert isinstance(scripted, Failure)
    stage.provider.script(scripted)
    with pytest.raises(ModelError) as caught:
        await read(stage.model, ask())
    assert type(caught.value) is expected
    assert KEY not in str(caught.value)
    assert "acme" in str(caught.value)
    assert str(scripted.status) in str(caught.value)
    assert len(stage.provider.requests) == 1, "an adapter sends a prompt once"
    if kind == "rate limit":
        assert caught.value.retry_after_s == 7


async def test_an_error_inside_the_stream_is_raised(stage: Stage) -> None:
    stage.provider.script(reply(say("Once "), StreamError("Overloaded", "overloaded_error")))
    with pytest.raises(ModelOverloaded, match="Overloaded"):
        await read(stage.model, ask())


@pytest.mark.parametrize("after", [0, 2])
async def test_a_cut_connection_is_never_a_silent_end(stage: Stage, after: int) -> None:
    stage.provider.script(cut(after_chunks=after))
    with pytest.raises(ModelStreamCut):
        await read(stage.model, ask())


async def test_a_cut_within_a_call_is_never_a_silent_end(stage: Stage) -> None:
    stage.provider.script(Reply(parts=(call("add", a=1, b=2), call("look")), cut_after=1))
    with pytest.raises(ModelStreamCut):
        await read(stage.model, ask(tools=(ADD,)))


@pytest.mark.parametrize("part", [say("Once upon"), call("add", a=1, b=2)], ids=["text", "call"])
async def test_a_reply_that_ends_politely_but_too_early_is_a_cut(stage: Stage, part: Say | Call) -> None:
    stage.provider.script(reply(part, CutHere(polite=True)))
    with pytest.raises(ModelStreamCut):
        await read(stage.model, ask(tools=(ADD,)))


async def test_closing_the_stream_hangs_up(stage: Stage) -> None:
    gate = Gate()
    stage.provider.script(reply(say("one "), gate, say("two")))
    stream = stage.model.stream(ask())
    while not isinstance(await anext(stream), TextChunk):
        pass
    await gate.reached()
    await stream.aclose()
    await asyncio.to_thread(stage.provider.requests[0].wait_disconnected)


# Not bedrock: boto3 waits for the first byte in a thread that cannot be interrupted.
@only("openai-chat", "openai-responses", "anthropic", "google")
async def test_cancelling_a_waiting_task_hangs_up(stage: Stage) -> None:
    gate = Gate()
    stage.provider.script(hang(gate))
    task = asyncio.create_task(read(stage.model, ask()))
    await gate.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(stage.provider.requests[0].wait_disconnected)


async def test_a_server_that_is_not_there_is_unreachable(stage: Stage) -> None:
    stage.provider.close()
    with pytest.raises(ModelUnreachable, match="acme"):
        await read(stage.model, ask())


async def test_settings_reach_the_provider(stage: Stage) -> None:
    stage.provider.script(say("ok"))
    settings = GenerationSettings(max_output_tokens=777, temperature=0.25)
    await read(stage.model, replace(ask(), settings=settings))
    raw = stage.provider.requests[0].raw
    assert b"777" in raw
    if stage.speaker.dialect != "openai-responses":  # reasoning models take no temperature
        assert b"0.25" in raw


async def test_reasoning_effort_reaches_the_provider(stage: Stage) -> None:
    stage.provider.script(say("ok"))
    await read(
        stage.model, replace(ask(), settings=GenerationSettings(reasoning_effort="high", max_output_tokens=2000))
    )
    raw = stage.provider.requests[0].raw
    assert b"thinking" in raw or b"reasoning" in raw


@only("anthropic")
async def test_a_limit_that_leaves_an_answer_room_beside_the_thinking_is_kept(stage: Stage) -> None:
    for limit, budget, sent in ((5000, 2048, 5000), (2000, 2048, 2048 + 4096)):
        settings = GenerationSettings(thinking_budget_tokens=budget, max_output_tokens=limit)
        await read(stage.model, replace(ask(), settings=settings))
        body = stage.provider.requests[-1].body
        assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (sent, budget)


@only("anthropic")
async def test_a_model_that_takes_no_schema_is_told_of_it_in_words(stage: Stage) -> None:
    wanted = {"name": "city", "schema": {"type": "object", "properties": {"founded": {"type": "integer"}}}}
    settings = GenerationSettings(response_format={"type": "json_schema", "json_schema": wanted})
    older = stage.endpoint.model(replace(info_for(stage.speaker), name="claude-3-5-haiku-latest"))
    for model in (stage.model, older):
        assert (await read(model, replace(ask(), settings=settings))).text == "All right."
    taken, told = (request.body for request in stage.provider.requests)
    assert "founded" in json.dumps(taken["output_config"])
    assert "output_config" not in told
    assert "founded" in json.dumps(told["system"])


@only("anthropic")
async def test_a_reply_that_lacks_what_its_library_takes_for_granted_is_the_providers_fault(stage: Stage) -> None:
    start = {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
             "model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}  # fmt: skip
    no_usage = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    events = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in (start, no_usage))
    stage.provider.script(fail(200, body=events))
    with pytest.raises(ModelBadReply, match="could not be read"):
        await read(stage.model, ask())


@only("anthropic", "bedrock", "google")
async def test_no_blank_text_is_sent_to_those_who_refuse_it(stage: Stage) -> None:
    said = AssistantTurn(parts=(TextPart(text=" \n"),))
    call = AssistantTurn(parts=(TextPart(text=""), called("c1")))
    pictured = UserTurn(parts=(TextPart(text=" "), picture()))
    await read(stage.model, ask(user("a"), said, user(" "), call, results([("c1", "")]), pictured, tools=(ADD,)))
    (request,) = stage.provider.requests
    assert request.shape[1:4] == ["user", "assistant:add", "tool:(nothing)"]
    texts = re.findall(rb'"text":\s*"((?:[^"\\\\]|\\\\.)*)"', request.raw)
    assert texts
    assert all(json.loads(b'"%s"' % text).strip() for text in texts)


@only("openai-responses", "anthropic", "google", "bedrock")
async def test_ids_that_another_provider_gave_its_calls_are_sent_in_a_form_that_is_taken(stage: Stage) -> None:
    theirs = ("functions.add:0", "functions.add:1")
    made = AssistantTurn(parts=tuple(called(call_id) for call_id in theirs))
    await read(stage.model, ask(user("a"), made, results([(call_id, call_id[-1]) for call_id in theirs]), tools=(ADD,)))
    (request,) = stage.provider.requests
    assert b"functions.add" not in request.raw
    if stage.speaker.dialect != "google":  # pairs them by name and place
        calls = [call_id for turn in request.turns for call_id, _, _ in turn.calls]
        found = [(call_id, text) for turn in request.turns for call_id, text in turn.results]
        assert found == [(calls[0], "0"), (calls[1], "1")]
        assert len(set(calls)) == 2


@only("anthropic", "bedrock")
async def test_earlier_calls_have_a_tool_also_when_none_is_left(stage: Stage) -> None:
    made = AssistantTurn(parts=(called("c1"), called("c2")))
    await read(stage.model, ask(user("a"), made, results([("c1", "5"), ("c2", "5")])))
    await read(stage.model, ask(user("a")))
    assert [request.tools for request in stage.provider.requests] == [("add",), ()]


@only("openai-chat", "anthropic")
async def test_an_image_is_sent_as_what_its_bytes_say_it_is(stage: Stage) -> None:
    await read(stage.model, ask(UserTurn(parts=(replace(picture(), media_type="image/jpeg"),))))
    (request,) = stage.provider.requests
    assert b"image/png" in request.raw
    assert b"image/jpeg" not in request.raw


async def test_many_requests_at_once_do_not_mix(stage: Stage) -> None:
    stage.provider.default = lambda request: say(f"you said {request.text}")
    readings = await asyncio.gather(*(read(stage.model, ask(user(f"number {n}"))) for n in range(8)))
    assert [reading.text for reading in readings] == [f"you said number {n}" for n in range(8)]


# Not bedrock and google: there only whole seconds can be set, too long for a test.
@only("openai-chat", "openai-responses", "anthropic")
async def test_silence_is_a_time_out(stage: Stage) -> None:
    quick = replace(stage.endpoint.options, read_timeout_s=0.05)  # type: ignore[attr-defined]
    if stage.speaker.dialect == "openai-chat":
        endpoint = replace(stage.endpoint, options=quick)  # type: ignore[type-var]
    else:
        endpoint = stage.endpoint
        endpoint.options = quick  # type: ignore[attr-defined]
    gate = Gate()
    stage.provider.script(hang(gate))
    with pytest.raises(ModelTimedOut):
        await read(endpoint.model(stage.model.info), ask())
    gate.release()


@only("anthropic", "bedrock")
async def test_anthropic_is_told_what_to_cache(stage: Stage) -> None:
    stage.provider.script(say("ok"))
    await read(stage.model, ask(user("a"), AssistantTurn(parts=(TextPart(text="b"),)), user("c"), tools=(ADD,)))
    body = stage.provider.requests[0].body
    marks = "cache_control" if stage.speaker.dialect == "anthropic" else "cachePoint"
    tools = body["tools"] if stage.speaker.dialect == "anthropic" else body["toolConfig"]
    assert marks in json.dumps(tools)
    assert marks in json.dumps(body["system"])
    assert marks in json.dumps(body["messages"][-1])
    assert marks not in json.dumps(body["messages"][:-1])

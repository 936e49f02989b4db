"""The chat dialect as it is really spoken: lenient in reading, exact in writing."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import httpx
import orjson
import pytest
from tests.contract.models.samples import ADD, LOOK, ask, called, read, results, user
from tests.support.provider import Provider, fail

from reverie.domain.content import TextPart, ToolCall
from reverie.domain.errors import ModelBadReply, ModelOverloaded, ModelRateLimited, ModelStreamCut
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.openai_chat.endpoint import OpenAIChat
from reverie.models.adapters.openai_chat.quirks import quirks_of
from reverie.models.adapters.openai_chat.reply import ChatReader
from reverie.models.adapters.openai_chat.request import to_chat
from reverie.models.adapters.openai_chat.written_calls import WrittenCalls
from reverie.models.base import (
    AssistantTurn,
    CallChunk,
    Chunk,
    FinishChunk,
    GenerationSettings,
    ModelOptions,
    Prompt,
    ProviderOptions,
    ReasoningChunk,
    ReasoningPart,
    SystemTurn,
    TextChunk,
    UsageChunk,
)
from reverie.models.failures import Source
from reverie.models.registry import resolve

SOURCE = Source(provider="acme", model="m")


def feed(*events: dict[str, Any], done: bool = False) -> list[Chunk]:
    reader = ChatReader(SOURCE)
    chunks = [chunk for event in events for chunk in reader.feed(event)]
    reader.done = done
    return [*chunks, *reader.end()]


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def piece(**fields: Any) -> dict[str, Any]:
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return delta(tool_calls=[{**fields, "function": function}])


STOP = delta("stop")
CALLS = delta("tool_calls")


def calls(chunks: Sequence[Chunk]) -> list[tuple[str | None, str, str]]:
    made: dict[int, tuple[str | None, str, str]] = {}
    for chunk in chunks:
        if isinstance(chunk, CallChunk):
            before = made.get(chunk.index, (None, "", ""))
            made[chunk.index] = (chunk.id or before[0], before[1] + (chunk.name or ""), before[2] + chunk.arguments)
    return list(made.values())


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    chunks = feed(piece(id="a", name="add", arguments='{"a":1}'), piece(id="b", name="look", arguments="{}"), CALLS)
    assert calls(chunks) == [("a", "add", '{"a":1}'), ("b", "look", "{}")]


def test_calls_without_index_and_id_are_told_apart_by_their_place() -> None:
    both = delta(
        tool_calls=[
            {"function": {"name": "add", "arguments": "{}"}},
            {"function": {"name": "look", "arguments": "{}"}},
        ]
    )
    assert calls(feed(both, CALLS)) == [(None, "add", "{}"), (None, "look", "{}")]


def test_a_name_behind_whole_arguments_is_a_new_call() -> None:
    chunks = feed(
        piece(index=0, name="add", arguments='{"a":'),
        piece(index=0, name="add", arguments="1}"),
        piece(index=0, name="add", arguments=""),
        piece(index=0, name="look", arguments="{}"),
        CALLS,
    )
    assert calls(chunks) == [(None, "add", '{"a":1}'), (None, "look", "{}")]


def test_a_new_id_under_an_old_index_is_a_new_call() -> None:
    chunks = feed(
        piece(index=0, id="a", name="add", arguments='{"a"'),
        piece(index=0, arguments=":1}"),
        piece(index=0, id="b", name="look", arguments="{}"),
        CALLS,
    )
    assert calls(chunks) == [("a", "add", '{"a":1}'), ("b", "look", "{}")]


def test_an_id_and_a_name_that_are_repeated_in_each_piece_come_once() -> None:
    chunks = feed(
        piece(index=0, id="a", name="add", arguments='{"a"'), piece(index=0, id="a", name="add", arguments=":1}"), CALLS
    )
    assert calls(chunks) == [("a", "add", '{"a":1}')]


def test_arguments_as_an_object_become_text() -> None:
    assert calls(feed(piece(index=0, id="a", name="add", arguments={"a": 1}), CALLS)) == [("a", "add", '{"a":1}')]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_read_from_either_field(name: str) -> None:
    chunks = feed(delta(**{name: "hm"}), delta(content="yes"), STOP)
    assert chunks == [ReasoningChunk(text="hm"), TextChunk(text="yes"), FinishChunk(reason="stop")]


def test_think_tags_at_the_start_are_reasoning() -> None:
    chunks = feed(*(delta(content=text) for text in ("<th", "ink>\nlet ", "me</thi", "nk>\n\nYes <think>")), STOP)
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, ReasoningChunk)) == "let me"
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk)) == "Yes <think>"


def test_text_that_only_begins_like_a_tag_is_text() -> None:
    chunks = feed(delta(content="<"), delta(content="3 you"), STOP)
    assert "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk)) == "<3 you"
    assert feed(delta(content="<thi"), STOP)[0] == TextChunk(text="<thi")


WRITTEN: Final = '{"name": "add", "arguments": {"a": 1}}'


def told(*pieces: str) -> tuple[str, list[tuple[str | None, str, str]]]:
    """Words and calls of a reply that comes in pieces."""
    reader = ChatReader(SOURCE, written=WrittenCalls({"add"}))
    chunks = [chunk for text in pieces for chunk in reader.feed(delta(content=text))]
    chunks += [*reader.feed(STOP), *reader.end()]
    made = calls(chunks)
    assert chunks[-1] == FinishChunk(reason="tool_calls" if made else "stop")
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk)), made


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("written", "words", "count"),
    [
        (f"<tool_call>\n{WRITTEN}\n</tool_call>", "", 1),
        (f"Let me see.\n<tool_call>{WRITTEN}</tool_call>\n<tool_call>\n{WRITTEN}</tool_call>", "Let me see.\n", 2),
        (f"\n\n<tool_call>{WRITTEN}\n", "", 1),
        (WRITTEN.replace("arguments", "parameters"), "", 1),
        (f"<think>so</think><tool_call>{WRITTEN}</tool_call>", "", 1),
    ],
)
def test_calls_among_the_words_are_calls(written: str, words: str, count: int, size: int) -> None:
    pieces = [written[i : i + size] for i in range(0, len(written), size)]
    assert told(*pieces) == (words, [(None, "add", '{"a":1}')] * count)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "written",
    [
        WRITTEN.replace("add", "other"),
        f"<tool_call>{WRITTEN.replace('add', 'other')}</tool_call>",
        "<tool_call> is a tag, <tool",
        "<tool_call>{broken</tool_call> and on",
        '{"name": "Ada", "born": 1815}',
        f"It is {WRITTEN}",
        "{1, 2} is a set\n",
    ],
)
def test_words_that_only_look_like_calls_are_words(written: str, size: int) -> None:
    assert told(*(written[i : i + size] for i in range(0, len(written), size))) == (written, [])


def test_content_in_blocks_is_read() -> None:
    blocks = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    assert feed(delta(content=blocks), STOP)[:2] == [ReasoningChunk(text="hm"), TextChunk(text="yes")]


def test_a_stop_after_calls_means_the_calls() -> None:
    assert feed(piece(index=0, id="a", name="add", arguments="{}"), STOP)[-1] == FinishChunk(reason="tool_calls")


def test_an_end_mark_without_a_finish_reason_is_an_end() -> None:
    assert feed(delta(content="hi"), done=True)[-1] == FinishChunk(reason="stop")


def test_a_finish_reason_without_an_end_mark_is_an_end() -> None:
    assert feed(delta(content="hi"), delta("length"))[-1] == FinishChunk(reason="length")


def test_neither_is_a_cut() -> None:
    with pytest.raises(ModelStreamCut):
        feed(delta(content="hi"))


def test_usage_is_found_wherever_it_stands() -> None:
    counts = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_cache_hit_tokens": 5}
    expected = UsageChunk(prompt_tokens=7, completion_tokens=3, cached_input_tokens=5)
    assert expected in feed({**STOP, "usage": counts})
    assert expected in feed(STOP, {"choices": [], "x_groq": {"usage": counts}})


def test_errors_inside_the_stream_are_read() -> None:
    with pytest.raises(ModelRateLimited):
        feed({"error": {"code": 429, "message": "slow down"}})
    with pytest.raises(ModelOverloaded):
        feed(delta(content="hi"), delta("error"))


def test_openrouters_reasoning_details_go_back_as_they_came() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s1", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "xyz", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
    ]
    read_parts = [chunk for chunk in feed(delta(reasoning_details=details), STOP) if isinstance(chunk, ReasoningChunk)]
    parts = tuple(
        ReasoningPart(
            text=chunk.text, signature=chunk.signature, redacted=chunk.redacted, item_id=chunk.item_id, origin="o"
        )
        for chunk in read_parts
    )
    prompt = ask(user("a"), AssistantTurn(parts=(*parts, TextPart(text="b"))), user("c"))
    assert body_of("openrouter", prompt, origin="o")["messages"][2]["reasoning_details"] == details


# What is sent


def info_of(kind: str, name: str) -> ModelInfo:
    return ModelInfo(
        handle=f"p/{name}", name=name, provider_name="p", provider_type=kind, endpoint=None, context_window=1000
    )


def body_of(kind: str, prompt: Prompt, *, name: str = "m", base_url: str | None = None, origin: str = "o") -> Any:
    provider = resolve(ProviderOptions(name="p", type=kind, base_url=base_url))
    return to_chat(prompt, info_of(kind, name), quirks_of(provider), origin)


def test_openais_reasoning_models_get_their_own_parameters() -> None:
    settings = GenerationSettings(max_output_tokens=9, temperature=0.5, reasoning_effort="max", verbosity="low")
    prompt = replace(ask(user("a")), settings=settings)
    body = body_of("openai", prompt, name="gpt-5-mini")
    assert body["messages"][0]["role"] == "developer"
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["verbosity"]) == (9, "xhigh", "low")
    assert "temperature" not in body
    plain = body_of("openai", prompt, name="gpt-4o")
    assert plain["messages"][0]["role"] == "system"
    assert plain["temperature"] == 0.5
    assert "reasoning_effort" not in plain


def test_a_gateway_of_type_openai_gets_openais_words_for_what_is_asked() -> None:
    settings = GenerationSettings(max_output_tokens=9, strict=True, reasoning_effort="minimal", verbosity="low")
    prompt = replace(ask(user("a"), tools=(ADD,)), settings=settings)
    body = body_of("openai", prompt, name="gpt-5-mini", base_url="http://localhost:4000/v1")
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["verbosity"]) == (9, "minimal", "low")
    assert body["tools"][0]["function"]["strict"] is True
    assert body["messages"][0]["role"] == "system"
    local = body_of("openai", prompt, name="qwen3", base_url="http://localhost:4000/v1")
    assert local["max_tokens"] == 9
    assert "max_completion_tokens" not in local


def test_local_chat_templates_get_no_second_system_message() -> None:
    prompt = ask(user("a"), SystemTurn(parts=(TextPart(text="noon"),)))
    assert [message["role"] for message in body_of("vllm", prompt)["messages"]] == ["system", "user", "user"]
    assert [message["role"] for message in body_of("openai", prompt)["messages"]] == ["system", "user", "system"]


def test_mistral_gets_ids_of_nine_letters_that_still_match() -> None:
    turn = AssistantTurn(parts=(called("call_0123456789"),))
    messages = body_of("mistral", ask(user("a"), turn, results([("call_0123456789", "5")]), tools=(ADD,)))["messages"]
    made, answered = messages[2]["tool_calls"][0]["id"], messages[3]["tool_call_id"]
    assert made == answered
    assert len(made) == 9
    assert made.isalnum()


def test_parallel_tool_calls_only_goes_with_tools() -> None:
    settings = GenerationSettings(parallel_tool_calls=False)
    assert "parallel_tool_calls" not in body_of("openai", replace(ask(), settings=settings))
    assert body_of("openai", replace(ask(tools=(ADD,)), settings=settings))["parallel_tool_calls"] is False


def test_strict_is_asked_for_only_where_a_schema_allows_it() -> None:
    loose = replace(ADD, parameters={**ADD.parameters, "required": ["a"]})
    prompt = replace(ask(tools=(ADD, loose)), settings=GenerationSettings(strict=True))
    first, second = (tool["function"] for tool in body_of("openai", prompt)["tools"])
    assert first["strict"] is True
    assert first["parameters"]["additionalProperties"] is False
    assert "strict" not in second


def test_deepseek_gets_its_reasoning_back_and_others_do_not() -> None:
    part = ReasoningPart(text="hm", signature=None, redacted=None, item_id=None, origin="o")
    prompt = ask(user("a"), AssistantTurn(parts=(part, ToolCall(id="c", name="look", arguments=""))), tools=(LOOK,))
    assert body_of("deepseek", prompt)["messages"][2]["reasoning_content"] == "hm"
    assert "hm" not in str(body_of("groq", prompt)["messages"])
    assert body_of("groq", prompt)["messages"][2]["tool_calls"][0]["function"]["arguments"] == "{}"


# Over the wire


class Canned(httpx.AsyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> Any:
        for data in self._pieces:
            yield data


def model_answering(*pieces: bytes, media_type: str = "text/event-stream") -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": media_type}, stream=Canned(pieces))

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    endpoint = OpenAIChat(resolve(ProviderOptions(name="p", type="vllm")), ModelOptions(), http)
    return endpoint.model(info_of("vllm", "m"))


HELLO = b"data: " + orjson.dumps(delta(content="hello")) + b"\n\n"
END = b"data: " + orjson.dumps(STOP) + b"\n\n"


async def test_comments_blank_lines_and_windows_line_ends_are_passed_over() -> None:
    stream = b": OPENROUTER PROCESSING\n\n\n" + HELLO.replace(b"\n", b"\r\n") + b"event: x\nid: 1\nretry: 5\n" + END
    assert (await read(model_answering(stream, b"data: [DONE]\n\n"), ask())).text == "hello"


async def test_events_may_be_cut_anywhere_by_the_network() -> None:
    stream = HELLO + END + b"data: [DONE]\n\n"
    for size in (1, 3, 7):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert (await read(model_answering(*pieces), ask())).text == "hello"


async def test_a_missing_space_and_a_missing_last_blank_line_are_accepted() -> None:
    assert (await read(model_answering(HELLO.replace(b"data: ", b"data:"), END.rstrip()), ask())).finish == "stop"


async def test_an_end_inside_an_event_is_a_cut() -> None:
    with pytest.raises(ModelStreamCut):
        await read(model_answering(HELLO, END[:30]), ask())


async def test_an_answer_that_is_not_streamed_is_read_as_well() -> None:
    whole = {"choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}
    assert (await read(model_answering(orjson.dumps(whole), media_type="application/json"), ask())).text == "hello"


async def test_what_is_no_json_is_a_bad_reply() -> None:
    with pytest.raises(ModelBadReply):
        await read(model_answering(b"data: <html>\n\n"), ask())


async def test_one_connection_serves_many_requests(provider: Provider) -> None:
    opened = []

    async def note(name: str, _: Any) -> None:
        if name == "connection.connect_tcp.complete":
            opened.append(name)

    class Noting(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            request.extensions["trace"] = note
            return await super().handle_async_request(request)

    async with httpx.AsyncClient(transport=Noting()) as http:
        options = resolve(ProviderOptions(name="p", type="vllm", base_url=provider.openai_url))
        model = OpenAIChat(options, ModelOptions(), http).model(info_of("vllm", "m"))
        for _ in range(3):
            await read(model, ask())
    assert len(opened) == 1


async def test_azure_is_asked_for_a_deployment(provider: Provider) -> None:
    provider.script(fail(404, "The API deployment for this resource does not exist"))
    async with httpx.AsyncClient() as http:
        options = resolve(
            ProviderOptions(name="az", type="azure", base_url=provider.url, api_key="k", api_version="v9")
        )
        with pytest.raises(Exception, match="deployment"):
            await read(OpenAIChat(options, ModelOptions(), http).model(info_of("azure", "my-gpt")), ask())
    request = provider.requests[0]
    assert request.path == "/openai/deployments/my-gpt/chat/completions"
    assert request.query == {"api-version": "v9"}
    assert request.headers["api-key"] == "k"

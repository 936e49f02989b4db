"""Failures are told apart by what providers really say."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from reverie.domain.errors import (
    ModelAuthFailed,
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
from reverie.models.base import ProviderOptions
from reverie.models.failures import Source, failure_in_stream, failure_of_response, failure_of_transport

SOURCE = Source.of(ProviderOptions(name="acme", type="openai", api_key="topsecretvalue"), "m1")

OVERFLOWS = {
    "openai": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "openai code": '{"error": {"message": "too long", "code": "context_length_exceeded"}}',
    "openai responses": "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "anthropic": "prompt is too long: 212000 tokens > 200000 maximum",
    "anthropic with output": "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "google": "The input token count (1048579) exceeds the maximum number of tokens allowed (1048576).",
    "bedrock": "Input is too long for requested model.",
    "vllm": "You passed 5000 input tokens. However, the model's context length is only 4096 tokens.",
    "vllm older": "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "sglang": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "llama.cpp": '{"error":{"code":400,"message":"request (5031 tokens) exceeds the available context size (4096 tok"'
    ',"type":"exceed_context_size_error"}}',
    "llama.cpp writing": "Context size has been exceeded.",
    "ollama": "input length exceeds maximum context length",
    "lm studio": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with "
    "context length of only 4096 tokens, which is not enough.",
    "openrouter": "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens",
    "groq": "Please reduce the length of the messages or completion.",
    "groq per minute": "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000",
    "together": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000",
    "mistral": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "xai": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "zai": "Prompt exceeds max length",
    "moonshot": "Invalid request: Your request exceeded model token limit: 8192",
    "minimax": "invalid params, context window exceeds limit (2013)",
}


@pytest.mark.parametrize("who", OVERFLOWS)
def test_context_overflow_is_recognised_in_everyones_words(who: str) -> None:
    assert isinstance(failure_of_response(SOURCE, 400, OVERFLOWS[who], {}), ModelContextOverflow)


OTHERS: list[tuple[int, str, type[ModelError]]] = [
    (429, '{"error":{"code":"insufficient_quota","message":"You exceeded your current quota"}}', ModelOutOfCredits),
    (400, '{"error":{"message":"Your credit balance is too low to access the Anthropic API"}}', ModelOutOfCredits),
    (402, '{"error":{"message":"Insufficient Balance"}}', ModelOutOfCredits),
    (
        429,
        '{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED",'
        '"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17s"}]}}',
        ModelRateLimited,
    ),
    (400, '{"error":{"code":400,"message":"API key not valid. Please pass a valid API key."}}', ModelAuthFailed),
    (403, '{"message":"The security token included in the request is invalid."}', ModelAuthFailed),
    (404, '{"error":"model \'nope\' not found, try pulling it first"}', ModelNotServed),
    (400, '{"error":{"message":"The model `gpt-9` does not exist","code":"model_not_found"}}', ModelNotServed),
    (400, '{"message":"The provided model identifier is invalid."}', ModelNotServed),
    (400, '{"error":{"code":"content_filter","message":"The response was filtered"}}', ModelRefused),
    (403, '{"error":{"message":"Input was flagged by moderation"}}', ModelRefused),
    (400, '{"error":{"message":"registry.ollama.ai/library/gemma:2b does not support tools"}}', ModelRefused),
    (404, '{"error":{"message":"No endpoints found that support tool use"}}', ModelRefused),
    (500, '{"error":{"code":500,"message":"tools param requires --jinja flag"}}', ModelRefused),
    (422, '{"detail":"tools: extra fields not permitted"}', ModelRefused),
    (408, "", ModelTimedOut),
    (504, "upstream request timeout", ModelTimedOut),
    (524, "<html>", ModelTimedOut),
    (529, '{"error":{"type":"overloaded_error"}}', ModelOverloaded),
    (500, "", ModelOverloaded),
    (400, '{"__type":"ThrottlingException","message":"Too many requests"}', ModelRateLimited),
]


@pytest.mark.parametrize(("status", "body", "expected"), OTHERS)
def test_other_failures_are_told_apart(status: int, body: str, expected: type[ModelError]) -> None:
    assert type(failure_of_response(SOURCE, status, body, {})) is expected


def test_the_message_names_provider_status_and_reason_but_never_the_key() -> None:
    body = '{"error":{"message":"Incorrect API key provided: topsecretvalue. Was sk-proj-abcdefghijklmnop meant?"}}'
    text = str(failure_of_response(SOURCE, 401, body, {}))
    assert "'acme'" in text
    assert "401" in text
    assert "Incorrect API key" in text
    assert "topsecretvalue" not in text
    assert "abcdefghijklmnop" not in text


def test_a_long_page_is_cut() -> None:
    assert len(str(failure_of_response(SOURCE, 502, "<p>" * 9000, {}))) < 1000


def wait_of(headers: dict[str, str], body: str = "") -> float | None:
    return failure_of_response(SOURCE, 429, body, headers).retry_after_s


def test_the_wait_is_read_in_every_form() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert wait_of({"Retry-After": "7"}) == 7
    assert wait_of({"retry-after-ms": "1500", "retry-after": "2"}) == 1.5
    assert wait_of({"retry-after": format_datetime(soon, usegmt=True)}) == pytest.approx(30, abs=3)
    assert wait_of({"anthropic-ratelimit-requests-reset": soon.isoformat()}) == pytest.approx(30, abs=3)
    assert wait_of({"x-ratelimit-reset": str(int(soon.timestamp() * 1000))}) == pytest.approx(30, abs=3)
    limits = {
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-tokens": "1h",
        "x-ratelimit-remaining-tokens": "900",
    }
    assert wait_of(limits) == 360
    assert wait_of({}, "Rate limit reached. Please try again in 1.5s. Visit …") == 1.5
    assert wait_of({}, "Rate limit reached. Please try again in 2m3.5s") == 123.5
    assert wait_of({}) is None
    assert wait_of({"retry-after": "soon"}) is None


def test_errors_inside_streams_are_read_with_and_without_a_status() -> None:
    assert isinstance(failure_in_stream(SOURCE, {"code": 429, "message": "slow"}), ModelRateLimited)
    assert isinstance(failure_in_stream(SOURCE, {"code": "502", "message": "bad"}), ModelOverloaded)
    assert isinstance(failure_in_stream(SOURCE, {"type": "overloaded_error", "message": "Overloaded"}), ModelOverloaded)
    assert isinstance(failure_in_stream(SOURCE, OVERFLOWS["ollama"]), ModelContextOverflow)
    assert isinstance(failure_in_stream(SOURCE, "something new"), ModelOverloaded)


def test_the_transport_s_failures_are_told_apart() -> None:
    def of(error: Exception, *, began: bool = False) -> type[ModelError]:
        return type(failure_of_transport(SOURCE, error, began=began))

    assert of(httpx.ConnectError("refused")) is ModelUnreachable
    assert of(httpx.ConnectTimeout("slow")) is ModelTimedOut
    assert of(httpx.ReadTimeout("silent"), began=True) is ModelTimedOut
    assert of(httpx.RemoteProtocolError("peer closed")) is ModelStreamCut
    assert of(OSError("reset"), began=True) is ModelStreamCut
    wrapped = RuntimeError("Connection error.")
    wrapped.__cause__ = httpx.ReadTimeout("silent")
    assert of(wrapped) is ModelTimedOut

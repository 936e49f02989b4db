"""What providers say when they fail, told apart once for all dialects.

Providers use the same status for different things and different words for the same thing, so a
failure is read in this order: words and codes that are unmistakable, then the status.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import orjson

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
from reverie.domain.json import JsonValue
from reverie.models.base import ProviderOptions

MOST_DETAIL_CHARS: Final = 600

_CONTEXT_OVERFLOW: Final = re.compile(
    "|".join(
        (
            r"context_length_exceeded",  # OpenAI, Azure, Groq, DeepSeek
            r"maximum context length",  # OpenAI, vLLM, OpenRouter, DeepSeek, Mistral, Fireworks
            r"exceeds? the (?:model'?s )?(?:maximum )?context (?:window|length|size)",  # OpenAI, SGLang
            r"exceeds? (?:the )?(?:maximum|max|available) context",  # llama.cpp, Ollama
            r"exceed_context_size_error",  # llama.cpp
            r"context (?:size|length|window) (?:has been |was )?exceed",  # llama.cpp, MiniMax
            r"exceed context limit",  # Anthropic: input and max_tokens together
            r"prompt is too long",  # Anthropic, Fireworks
            r"prompt too long; exceeded",  # Ollama cloud
            r"input token count.{0,40}exceeds the maximum",  # Google
            r"input is too long for requested model",  # Bedrock
            r"too many input tokens",  # Bedrock
            r"longer than the (?:maximum model length|model'?s context length)",  # vLLM, SGLang
            r"model'?s context length is only",  # vLLM
            r"too long to fit into the model",  # vLLM
            r"reduce the length of the (?:messages|input|prompt)",  # Groq, Cerebras, Bedrock Llama
            r"context the overflows|loaded with context length of only|reached context length",  # LM Studio
            r"greater than the context length",  # LM Studio
            r"tokens.{0,20}max_new_tokens.{0,20}must be <=",  # Together, Hugging Face
            r"too large for model with \d+ maximum context",  # Mistral
            r"maximum prompt length is",  # xAI
            r"prompt exceeds max length",  # Z.ai
            r"exceeded model token limit",  # Moonshot
            r"request too large for.{0,160}tokens per min",  # OpenAI, Groq: a smaller request is the only way
            r"request_too_large",  # Anthropic, 413
        )
    ),
    re.IGNORECASE | re.DOTALL,
)
_NO_CREDITS: Final = re.compile(
    r"insufficient_quota|insufficient[ _](?:balance|credit|funds)|credit balance is too low"
    r"|billing_(?:hard_limit|error|not_active)"
    r"|out of credits|payment required|spending limit|(?:requires|need) more credits|no available asset|用户余额不足",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(r"exceeded your current quota", re.IGNORECASE)
_BAD_KEY: Final = re.compile(
    r"api[_ ]key[_ ](?:not[_ ]valid|invalid|expired)|invalid[_ ]api[_ ]key|incorrect api key|invalid x-api-key"
    r"|UnrecognizedClientException|InvalidSignatureException|ExpiredTokenException|authentication_error|API_KEY_INVALID"
    r"|security token included in the request is (?:invalid|expired)",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(
    r"content[_ ](?:filter|policy)|content management policy|ResponsibleAIPolicyViolation"
    r"|moderation|flagged|safety|PROHIBITED_CONTENT"
    r"|violat\w+ (?:our|the) (?:usage )?polic",
    re.IGNORECASE,
)
_NO_TOOLS: Final = re.compile(
    r"does not support (?:tools|tool (?:use|calling)|function calling)"  # Ollama, Groq
    r"|requires --enable-auto-tool-choice|tools param requires --jinja|support tool use",  # vLLM, llama.cpp, OpenRouter
    re.IGNORECASE,
)
_NOT_SERVED: Final = re.compile(
    r"model_not_found|model.{0,80}(?:not found|does not exist|is not supported|not exist)"
    r"|unknown model|no such model|invalid model|no endpoints found|model identifier is invalid",
    re.IGNORECASE,
)
_OVERLOADED: Final = re.compile(r"overloaded|server_error|internal|unavailable|capacity|try again later", re.IGNORECASE)
_RATE: Final = re.compile(r"rate[_ ]?limit|too many requests|throttl|RESOURCE_EXHAUSTED", re.IGNORECASE)
_LOOKS_LIKE_KEY: Final = re.compile(r"\b(?:sk|pk|gsk|xai|key|AIza)[-_]?[A-Za-z0-9_*-]{12,}")
_TRY_AGAIN: Final = re.compile(r"(?:try again|retry) in ((?:\d+(?:\.\d+)?(?:ms|s|m|h) ?)+)", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who failed, as messages name them."""

    provider: str
    model: str | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Never to appear in a message."""

    @staticmethod
    def of(provider: ProviderOptions, model: str | None = None) -> "Source":
        """The source for `provider`."""
        secrets = tuple(secret for secret in (provider.api_key, provider.access_key) if secret)
        return Source(provider=provider.name, model=model, secrets=secrets)

    def clean(self, text: str) -> str:
        """Take keys out of `text`, and cut it to a readable length."""
        for secret in self.secrets:
            text = text.replace(secret, "[key]")
        text = " ".join(_LOOKS_LIKE_KEY.sub("[key]", text).split())
        return text if len(text) <= MOST_DETAIL_CHARS else text[:MOST_DETAIL_CHARS] + "…"


def failure_of_response(source: Source, status: int, body: str, headers: Mapping[str, str]) -> ModelError:
    """Read an answer with an error status; header names are looked up in lower case."""
    payload = _parse(body)
    wait = retry_after_s(headers, payload, body)
    failure = _classify(source, status, f"status {status}", _message_of(payload) or body, body, wait)
    failure.provider_status = status
    return failure


def failure_in_stream(source: Source, error: JsonValue) -> ModelError:
    """Read an error object that came inside a stream that began well."""
    text = error if isinstance(error, str) else orjson.dumps(error, default=str).decode()
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and str(code).isdigit() and 400 <= int(code) < 600 else 0
    wait = retry_after_s({}, error, text)
    return _classify(source, status, "an error inside the stream", _message_of(error) or text, text, wait)


def failure_of_transport(source: Source, error: BaseException, *, began: bool) -> ModelError:
    """Read an exception of the HTTP layer, of httpx or a look-alike; `began`: the reply had begun to arrive."""
    names = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    where = f"provider {source.provider!r}"
    refused = "NewConnectionError" in names  # urllib3's subclass of its own connect time-out
    if not refused and names & {"ConnectTimeout", "PoolTimeout", "ConnectTimeoutError"}:
        return ModelTimedOut(f"{where} did not accept a connection in time; check its base URL and the network")
    if not refused and names & {
        "ReadTimeout",
        "ReadTimeoutError",
        "WriteTimeout",
        "APITimeoutError",
        "TimeoutException",
        "TimeoutError",
    }:
        return ModelTimedOut(f"{where} did not answer in time; try again, or raise the read time-out")
    detail = source.clean(
        next((str(link) for link in reversed(list(_chain(error))) if str(link)), type(error).__name__)
    )
    if began or names & {"RemoteProtocolError", "ReadError", "ResponseStreamingError", "IncompleteReadError"}:
        return ModelStreamCut(f"{where} closed the connection before its reply was complete ({detail}); try again")
    return ModelUnreachable(f"{where} cannot be reached ({detail}); check its base URL and whether it is running")


def cut_stream(source: Source) -> ModelStreamCut:
    """For a stream that ended without its end mark."""
    return ModelStreamCut(f"the stream of provider {source.provider!r} ended before the reply was complete; try again")


def bad_reply(source: Source, what: str) -> ModelBadReply:
    """For an answer that is not in the provider's own format."""
    return ModelBadReply(f"provider {source.provider!r} sent {source.clean(what)}")


def retry_after_s(headers: Mapping[str, str], payload: JsonValue, text: str) -> float | None:
    """Seconds the provider asks us to wait; None where it does not say.

    Reads `retry-after-ms`, `retry-after` (seconds or date), Google's `RetryInfo`, "try again in 1.5s"
    and the reset headers of whatever limit has nothing remaining.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if (milliseconds := _number(lower.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if "retry-after" in lower:
        wait = _number(lower["retry-after"])
        return wait if wait is not None else _until(lower["retry-after"])
    if (delay := _retry_info(payload)) is not None:
        return delay
    if found := _TRY_AGAIN.search(text):
        return _duration(found.group(1))
    return _reset_header(lower)


def _reset_header(headers: Mapping[str, str]) -> float | None:
    waits = []
    for name, value in headers.items():
        if "ratelimit" in name and "reset" in name:
            remaining = headers.get(name.replace("reset", "remaining"), "0")
            wait = _until(value) if _number(remaining) == 0 else None
            if wait is not None:
                waits.append(wait)
    return max(waits, default=None)


def _until(value: str) -> float | None:
    """Seconds until what a header calls a moment: a duration, an epoch, an ISO or an HTTP date."""
    number = _number(value)
    if number is not None:
        now = datetime.now(UTC).timestamp()
        epoch = number / 1000 if number > 1e11 else number
        return max(0.0, epoch - now) if epoch > 1e9 else number
    if (duration := _duration(value)) is not None:
        return duration
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = parse(value)
        except ValueError:
            continue
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else None
    except ValueError:
        return None
    return number if number is not None and 0 <= number < float("inf") else None


def _duration(value: str) -> float | None:
    found = _DURATION.findall(value)
    if not found or _DURATION.sub("", value).strip():
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in found)


def _retry_info(payload: JsonValue) -> float | None:
    error = payload.get("error", payload) if isinstance(payload, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            return _duration(delay)
    return None


def _classify(  # noqa: C901 - one arm for each kind of failure
    source: Source, status: int, what: str, message: str, raw: str, wait: float | None
) -> ModelError:
    model = f" for model {source.model!r}" if source.model else ""
    said = f"provider {source.provider!r} answered with {what}{model}: {source.clean(message) or 'no reason given'}"
    if _CONTEXT_OVERFLOW.search(raw):
        return ModelContextOverflow(f"{said}; the request is larger than the model's context window")
    if status == 402 or _NO_CREDITS.search(raw) or (_QUOTA.search(raw) and wait is None):
        return ModelOutOfCredits(f"{said}; add credit or raise the quota of that account")
    if _BAD_KEY.search(raw):
        return ModelAuthFailed(f"{said}; check the provider's API key")
    if status == 429 or (status in (0, 400, 403) and _RATE.search(raw)):
        asks = f"; it asks to wait {wait:.0f} s" if wait is not None else ""
        return ModelRateLimited(f"{said}{asks}; send less, or try again later", retry_after_s=wait)
    if status in (0, 400, 403, 422) and _REFUSED.search(raw):
        return ModelRefused(f"{said}; it refuses the content")
    if _NO_TOOLS.search(raw):
        return ModelRefused(f"{said}; choose a model that can call tools, or take the agent's tools away")
    if status in (401, 403):
        return ModelAuthFailed(f"{said}; check the provider's API key and what it may use")
    if status == 404 or (status in (0, 400, 422) and _NOT_SERVED.search(raw)):
        return ModelNotServed(f"{said}; check the model's name, or pull it if the server is your own")
    if status in (408, 504, 524):
        return ModelTimedOut(f"{said}; try again")
    if status >= 500 or (status == 0 and _OVERLOADED.search(raw)):
        return ModelOverloaded(f"{said}; try again later", retry_after_s=wait)
    if status == 0:
        return ModelOverloaded(f"{said}; try again", retry_after_s=wait)
    return ModelRefused(f"{said}; it refuses the request as it stands")


def _parse(body: str) -> JsonValue:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _message_of(payload: JsonValue) -> str:
    """The sentence in an error body of any dialect; empty when there is none."""
    if isinstance(payload, list) and payload:  # Google answers some errors with a list of one
        payload = payload[0]
    if isinstance(payload, str):
        return payload
    if not isinstance(payload, dict):
        return ""
    error = payload.get("error", payload)
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return ""
    for key in ("message", "Message", "detail", "error"):
        value = error.get(key) or payload.get(key)
        if isinstance(value, str) and value:
            nested = error.get("metadata")
            inner = nested.get("raw") if isinstance(nested, dict) else None  # OpenRouter quotes its upstream
            return f"{value} ({inner})" if isinstance(inner, str) else value
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__

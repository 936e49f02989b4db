"""The connection to a provider's chat completions, over httpx and orjson: one request, one stream of events."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.openai_chat.quirks import quirks_of
from reverie.models.adapters.openai_chat.reply import ChatReader
from reverie.models.adapters.openai_chat.request import to_chat
from reverie.models.adapters.openai_chat.written_calls import WrittenCalls
from reverie.models.adapters.translate import ToolNames, wire_name
from reverie.models.base import Chunk, ModelOptions, Prompt, ProviderOptions
from reverie.models.exchange import note
from reverie.models.failures import Source, bad_reply, failure_of_response, failure_of_transport

DIALECT: Final = "openai-chat"
_END: Final = b"[DONE]"
_DRAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """One provider's chat completions endpoint."""

    provider: ProviderOptions
    options: ModelOptions
    http: httpx.AsyncClient
    """Shared; the catalog closes it."""

    def model(self, info: ModelInfo) -> "OpenAIChatModel":
        """The model of `info` behind this endpoint."""
        return OpenAIChatModel(self, info)

    async def aclose(self) -> None:
        """Nothing of its own to close."""

    def url(self, model: str) -> str:
        """Where requests for `model` go."""
        base = (self.provider.base_url or "").rstrip("/")
        if self.provider.type != "azure":
            return f"{base}/chat/completions"
        if base.endswith("/v1"):  # Azure's own new form needs neither deployment path nor version
            return f"{base}/chat/completions"
        version = self.provider.api_version or "2024-10-21"
        return f"{base}/openai/deployments/{model}/chat/completions?api-version={version}"

    def headers(self) -> dict[str, str]:
        """Authorization, in the form the provider wants."""
        headers = {"content-type": "application/json", "accept": "text/event-stream"}
        key = self.provider.api_key
        if key:
            headers |= {"api-key": key} if self.provider.type == "azure" else {"authorization": f"Bearer {key}"}
        if self.provider.type == "openrouter":
            headers |= {"x-title": "Reverie"}
        return headers


@dataclass(frozen=True, slots=True)
class OpenAIChatModel:
    """A chat model of this dialect."""

    endpoint: OpenAIChat
    info: ModelInfo

    @property
    def reasoning_origin(self) -> str:
        """The provider and this dialect."""
        return f"{self.endpoint.provider.name}:{DIALECT}"

    def preview(self, prompt: Prompt) -> JsonObject:
        """The body that `stream` would send."""
        return to_chat(prompt, self.info, quirks_of(self.endpoint.provider), self.reasoning_origin)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Send `prompt` once and yield the reply as it comes."""
        endpoint = self.endpoint
        source = Source.of(endpoint.provider, self.info.name)
        reader = ChatReader(source, ToolNames.of(prompt), self._written_calls(prompt))
        began = False
        sent = orjson.dumps(self.preview(prompt))
        note(sent)
        try:
            request = endpoint.http.build_request(
                "POST",
                endpoint.url(self.info.name),
                content=sent,
                headers=endpoint.headers(),
                timeout=httpx.Timeout(endpoint.options.read_timeout_s, connect=endpoint.options.connect_timeout_s),
            )
            response = await endpoint.http.send(request, stream=True)
            try:
                if response.status_code >= 400:
                    body = (await response.aread()).decode(errors="replace")
                    raise failure_of_response(source, response.status_code, body, response.headers)
                async with aclosing(_events(response)) as events:
                    async for data in events:
                        began = True
                        if data == _END:
                            reader.done = True
                            for chunk in reader.end():
                                yield chunk
                        elif not reader.done:
                            for chunk in reader.feed(_json(source, data)):
                                yield chunk
            finally:
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise failure_of_transport(source, error, began=began) from error
        if not reader.done:
            for chunk in reader.end():
                yield chunk

    def _written_calls(self, prompt: Prompt) -> WrittenCalls | None:
        if not prompt.tools or quirks_of(self.endpoint.provider).reads_calls:
            return None
        return WrittenCalls(frozenset(wire_name(tool.name) for tool in prompt.tools))


def _json(source: Source, data: bytes) -> JsonValue:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise bad_reply(source, f"a stream event that is not JSON: {data[:200].decode(errors='replace')!r}") from error


async def _events(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The data of each event. A server that answers without streaming gives one, and an end mark."""
    if "json" in response.headers.get("content-type", "") and "event-stream" not in response.headers["content-type"]:
        yield await response.aread()
        yield _END
        return
    pending = b""
    data: list[bytes] = []
    pieces = response.aiter_bytes()
    async for piece in pieces:
        *lines, pending = (pending + piece).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r")
            if text.startswith(b"data:"):
                data.append(text[5:].strip())
            elif not text and data:
                event, data = b"\n".join(data), []
                if event:
                    yield event
                if event == _END:
                    await _drain(pieces)
                    return
    if pending.startswith(b"data:"):
        data.append(pending[5:].strip())
    event = b"\n".join(data)
    if event == _END or event.endswith(b"}"):  # else the connection ended inside an event
        yield event


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read to the end of the answer, so that its connection can serve the next request."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass

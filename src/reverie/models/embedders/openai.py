"""Embeddings in OpenAI's form, which Ollama, vLLM, LM Studio and most gateways speak."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import orjson

from reverie.domain.json import JsonObject
from reverie.domain.provider import EmbedderInfo
from reverie.models.base import ModelOptions, ProviderOptions
from reverie.models.embedders.vectors import batches, unit
from reverie.models.failures import Source, bad_reply, failure_of_response, failure_of_transport

BATCH_TEXTS: Final = 64
BATCH_CHARS: Final = 200_000
"""OpenAI takes 300,000 tokens at once; a token is at least a character."""


@dataclass(frozen=True, slots=True)
class OpenAIEmbedder:
    """One embedding model behind `/embeddings`."""

    provider: ProviderOptions
    options: ModelOptions
    http: httpx.AsyncClient
    info: EmbedderInfo

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector for each text."""
        vectors: list[list[float]] = []
        for batch in batches(texts, BATCH_TEXTS, BATCH_CHARS):
            vectors += await self._embed(batch)
        return vectors

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        # An empty text is an error at OpenAI; a space is nearly nothing to every model.
        body = {"model": self.info.name, "input": [text or " " for text in texts], "encoding_format": "float"}
        source = Source.of(self.provider, self.info.name)
        answer = await post(self.http, self._url(), self._headers(), body, source, self.options.read_timeout_s)
        items = sorted(answer.get("data") or (), key=lambda item: item.get("index", 0))
        if len(items) != len(texts):
            raise bad_reply(source, f"{len(items)} vectors for {len(texts)} texts")
        return [unit(item["embedding"]) for item in items]

    def _url(self) -> str:
        base = self.provider.base_url or ""
        if self.provider.type == "azure" and not base.endswith("/v1"):
            version = self.provider.api_version or "2024-10-21"
            return f"{base}/openai/deployments/{self.info.name}/embeddings?api-version={version}"
        return f"{base}/embeddings"

    def _headers(self) -> dict[str, str]:
        key = self.provider.api_key
        if not key:
            return {}
        return {"api-key": key} if self.provider.type == "azure" else {"authorization": f"Bearer {key}"}


async def post(
    http: httpx.AsyncClient, url: str, headers: dict[str, str], body: JsonObject, source: Source, timeout_s: float
) -> JsonObject:
    """Send a request for vectors and return the answer.

    Raises:
        ModelError: what went wrong.
    """
    try:
        answer = await http.post(
            url,
            content=orjson.dumps(body),
            headers={"content-type": "application/json", **headers},
            timeout=min(timeout_s, 120.0),
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise failure_of_transport(source, error, began=False) from error
    if answer.status_code >= 400:
        raise failure_of_response(source, answer.status_code, answer.text, answer.headers)
    try:
        loaded = orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise bad_reply(source, "something that is no JSON where vectors should be") from error
    if not isinstance(loaded, dict):
        raise bad_reply(source, "a list where an object with vectors should be")
    return loaded

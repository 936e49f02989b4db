"""Embeddings of the Gemini API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from reverie.domain.provider import EmbedderInfo
from reverie.models.base import ModelOptions, ProviderOptions
from reverie.models.embedders.openai import post
from reverie.models.embedders.vectors import batches, unit
from reverie.models.failures import Source, bad_reply

BATCH_TEXTS: Final = 100


@dataclass(frozen=True, slots=True)
class GoogleEmbedder:
    """One embedding model behind `batchEmbedContents`."""

    provider: ProviderOptions
    options: ModelOptions
    http: httpx.AsyncClient
    info: EmbedderInfo

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector for each text."""
        vectors: list[list[float]] = []
        for batch in batches(texts, BATCH_TEXTS, 200_000):
            vectors += await self._embed(batch)
        return vectors

    async def _embed(self, texts: list[str]) -> list[list[float]]:
        model = f"models/{self.info.name}"
        base = (self.provider.base_url or "").removesuffix("/v1beta")
        requests = [{"model": model, "content": {"parts": [{"text": text or " "}]}} for text in texts]
        source = Source.of(self.provider, self.info.name)
        headers = {"x-goog-api-key": self.provider.api_key or ""}
        url = f"{base}/v1beta/{model}:batchEmbedContents"
        answer = await post(self.http, url, headers, {"requests": requests}, source, self.options.read_timeout_s)
        items = answer.get("embeddings") or ()
        if len(items) != len(texts):
            raise bad_reply(source, f"{len(items)} vectors for {len(texts)} texts")
        return [unit(item["values"]) for item in items]

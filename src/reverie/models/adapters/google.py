"""Google's generateContent dialect: the Gemini API and Vertex AI."""

from typing import Any, ClassVar

import httpx2
from google.auth.exceptions import GoogleAuthError
from google.genai import Client
from google.genai.types import HttpOptions
from pydantic_ai.models import Model
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.google_cloud import GoogleCloudProvider

from reverie.domain.errors import ModelAuthFailed
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.pydantic_models import PydanticEndpoint, common_settings
from reverie.models.base import Prompt


class Google(PydanticEndpoint):
    """The Gemini API."""

    dialect: ClassVar[str] = "google"

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make the model."""
        client = Client(api_key=self.provider.api_key or "none", http_options=self._http_options(http))
        return GoogleModel(info.name, provider=GoogleProvider(client=client))

    def _http_options(self, http: httpx2.AsyncClient) -> HttpOptions:
        base_url = self.provider.base_url
        for suffix in ("/v1beta", "/v1"):  # the SDK adds the version
            base_url = base_url.rstrip("/").removesuffix(suffix) if base_url else None
        extra: dict[str, Any] = {"base_url": base_url} if base_url else {}
        return HttpOptions(httpx_async_client=http, timeout=int(self.options.read_timeout_s * 1000), **extra)

    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """Thoughts are asked for whenever the model thinks, so that they can be shown."""
        settings = common_settings(prompt)
        settings.pop("parallel_tool_calls", None)  # unknown to this dialect
        budget = prompt.settings.thinking_budget_tokens
        if budget and prompt.settings.reasoning_effort != "none":
            settings.pop("thinking", None)
            settings["google_thinking_config"] = {"thinking_budget": budget, "include_thoughts": True}
        if prompt.settings.top_logprobs is not None:
            settings |= {"google_logprobs": True, "google_top_logprobs": prompt.settings.top_logprobs}
        return settings


class Vertex(Google):
    """Vertex AI. Credentials come from the environment, as Google's own tools find them, or are an API key."""

    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = (GoogleAuthError,)

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make the model."""
        options = self._http_options(http)
        key, project, location = self.provider.api_key, self.provider.project, self.provider.region or "us-central1"
        try:
            if key:
                client = Client(vertexai=True, api_key=key, http_options=options)
            else:
                client = Client(vertexai=True, project=project, location=location, http_options=options)
        except (ValueError, GoogleAuthError) as error:
            raise ModelAuthFailed(
                f"provider {self.provider.name!r}: {error}; give a project and log in with Google's tools, or a key"
            ) from error
        return GoogleModel(info.name, provider=GoogleCloudProvider(client=client))

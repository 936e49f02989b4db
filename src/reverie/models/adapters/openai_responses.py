"""OpenAI's responses dialect: reasoning models of OpenAI itself, with encrypted reasoning."""

from typing import ClassVar, cast

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.pydantic_models import PydanticEndpoint, common_settings
from reverie.models.base import Prompt
from reverie.models.profiles import is_openai_reasoner


class OpenAIResponses(PydanticEndpoint):
    """One provider's responses endpoint. Nothing is stored there: the whole history is sent each time."""

    dialect: ClassVar[str] = "openai-responses"
    system_anywhere: ClassVar[bool] = True

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make the model; a name the library doesn't know would lose its encrypted reasoning, so we say it."""
        client = AsyncOpenAI(
            base_url=self.provider.base_url,
            api_key=self.provider.api_key or "none",
            max_retries=0,
            timeout=self.timeout(),
            http_client=http,
        )
        provider = OpenAIProvider(openai_client=client)
        if not (info.reasoning or is_openai_reasoner(info.name)):
            return OpenAIResponsesModel(info.name, provider=provider)
        known = OpenAIProvider.model_profile(info.name) or {}
        profile = cast(OpenAIModelProfile, {**known, "openai_supports_encrypted_reasoning_content": True})
        return OpenAIResponsesModel(info.name, provider=provider, profile=profile)

    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """Reasoning is asked for with a summary; sampling parameters only where the model takes them."""
        settings = common_settings(prompt)
        settings |= {"openai_store": False}
        if is_openai_reasoner(info.name) or info.reasoning:
            settings.pop("temperature", None)
            settings.pop("top_p", None)
            if prompt.settings.reasoning_effort != "none":
                settings["openai_reasoning_summary"] = "auto"
        for unknown in ("frequency_penalty", "presence_penalty", "stop_sequences"):  # to this dialect
            settings.pop(unknown, None)
        if prompt.settings.verbosity is not None:
            settings["openai_text_verbosity"] = prompt.settings.verbosity
        if prompt.settings.top_logprobs is not None:
            settings |= {"openai_logprobs": True, "openai_top_logprobs": prompt.settings.top_logprobs}
        return settings

"""Amazon Bedrock's converse dialect, over boto3."""

from typing import Any, ClassVar

import boto3
import httpx2
import orjson
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError, TokenRetrievalError
from pydantic_ai.models import Model
from pydantic_ai.models.bedrock import BedrockConverseModel
from pydantic_ai.providers.bedrock import BedrockProvider

from reverie.domain.errors import ModelError
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo
from reverie.models.adapters.pydantic_models import PydanticEndpoint, _run_in_thread, common_settings
from reverie.models.base import Prompt
from reverie.models.exchange import note


class Bedrock(PydanticEndpoint):
    """Bedrock in one region; keys come from the options, or from where AWS's own tools find them."""

    dialect: ClassVar[str] = "bedrock"
    sign_in_errors: ClassVar[tuple[type[Exception], ...]] = (
        NoCredentialsError,
        PartialCredentialsError,
        TokenRetrievalError,
    )

    def connect(self, info: ModelInfo, http: httpx2.AsyncClient) -> Model:
        """Make the model; boto3 brings its own HTTP."""
        return self._model(info, self._client())

    def _model(self, info: ModelInfo, client: Any) -> Model:
        return BedrockConverseModel(info.name, provider=BedrockProvider(bedrock_client=client))

    def _client(self) -> Any:
        secret, key_id = self.provider.api_key, self.provider.access_key
        session = boto3.Session(
            aws_access_key_id=key_id if secret else None,
            aws_secret_access_key=secret if key_id else None,
            region_name=self.provider.region,
        )
        config = Config(
            read_timeout=self.options.read_timeout_s,
            connect_timeout=self.options.connect_timeout_s,
            retries={"total_max_attempts": 1},
        )
        try:
            client = session.client("bedrock-runtime", config=config, endpoint_url=self.provider.base_url)
        except BotoCoreError as error:
            raise ModelError(f"provider {self.provider.name!r}: {error}; give its region and keys") from error
        client.meta.events.register("before-send.bedrock-runtime", _note)
        return client

    def settings(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """Cache marks as for Anthropic; models without caching ignore them."""
        settings = common_settings(prompt)
        settings.pop("parallel_tool_calls", None)
        for unknown in ("frequency_penalty", "presence_penalty"):
            settings.pop(unknown, None)
        budget = prompt.settings.thinking_budget_tokens
        if budget and prompt.settings.reasoning_effort != "none":
            settings.pop("thinking", None)
            fields = {"thinking": {"type": "enabled", "budget_tokens": max(1024, budget)}}
            settings["bedrock_additional_model_requests_fields"] = fields
        if "claude" in info.name or "nova" in info.name:
            settings |= {"bedrock_cache_instructions": True, "bedrock_cache_messages": True}
            if "claude" in info.name:
                settings["bedrock_cache_tool_definitions"] = True
        return settings

    def capture(self, prompt: Prompt, info: ModelInfo) -> JsonObject:
        """As for the others, but taken from boto3's own hook."""
        client = self._client()
        taken: list[bytes] = []

        def take(request: Any, **_: Any) -> None:
            taken.append(request.body)
            raise _Taken

        client.meta.events.register("before-send.bedrock-runtime", take)

        async def send() -> None:
            try:
                async with self.open(self._model(info, client), prompt, info):
                    pass
            except _Taken:
                pass

        _run_in_thread(send())
        body = orjson.loads(taken[0]) if taken else {}
        return body if isinstance(body, dict) else {}


def _note(request: Any, **_: Any) -> None:
    note(request.body)


class _Taken(Exception):
    """Stops a request that was only made to be looked at."""

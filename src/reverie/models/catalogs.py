"""The catalog of each organisation: what is configured, and what it added for itself.

A provider that an organisation added stands before a configured one of its name: one of that
name may have come into the configuration later, and its agents go on as they were.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Final
from urllib.parse import urlsplit

from reverie.domain.errors import BadGateway, InvalidInput, NotFound
from reverie.domain.ids import OrganizationId
from reverie.domain.provider import EmbedderInfo, ModelInfo
from reverie.models.base import ChatModel, Embedder, ModelOptions, ProviderOptions
from reverie.models.catalog import LEGACY_PROVIDER, Catalog
from reverie.models.registry import resolve
from reverie.web.addresses import WebOptions, permitted_addresses

Load = Callable[[OrganizationId], Awaitable[Sequence[ProviderOptions]]]
"""Reads what an organisation added, opened and ready to be used."""

LONGEST_S: Final = 60.0
"""Longest time that anything is believed where another process can write, whatever was heard."""
KEPT: Final = 4096
"""Organisations whose providers are remembered; of more, those asked for longest ago are read again."""
MISS_S: Final = 0.2
"""Shortest time between two looks for a provider that is not known."""


class OrganizationCatalog:
    """The models that one organisation can use; implements `ModelCatalog`."""

    def __init__(self, configured: Catalog, reread: Callable[[], Awaitable[None]]) -> None:
        """`reread` looks whether another process stored something, if it could have."""
        self._configured = configured
        self._reread = reread
        self.own: Catalog | None = None
        """None: it added nothing."""
        self.changed = True
        """Whether what was read is known to stand no more."""
        self.read_at = -MISS_S

    async def list_models(self) -> list[ModelInfo]:
        """All chat models, the configured ones first."""
        if self.own is None:
            return await self._configured.list_models()
        first, own = await asyncio.gather(self._configured.list_models(), self.own.list_models())
        return [*(model for model in first if not self.own.serves(model.handle)), *own]

    async def list_embedders(self) -> list[EmbedderInfo]:
        """All embedding models, the built-in one first."""
        if self.own is None:
            return await self._configured.list_embedders()
        first, own = await asyncio.gather(self._configured.list_embedders(), self.own.list_embedders())
        return [*(model for model in first if not self.own.serves(model.handle)), *own]

    async def chat_model(self, handle: str) -> ChatModel:
        """Return the model of `handle`; see `ModelCatalog`."""
        catalog = await self._catalog_of(handle)
        if catalog is self._configured and self._means_default(handle):
            models = await self.list_models()
            if models:
                return await self.chat_model(models[0].handle)
        try:
            return await catalog.chat_model(handle)
        except NotFound as error:
            raise self._explained(error, handle) from None

    async def embedder(self, handle: str) -> Embedder:
        """Return the embedder of `handle`; see `ModelCatalog`."""
        catalog = await self._catalog_of(handle)
        try:
            return await catalog.embedder(handle)
        except NotFound as error:
            raise self._explained(error, handle) from None

    async def default_embedder(self) -> Embedder | None:
        """The server's default; what an organisation added is used by those who name it."""
        return await self._configured.default_embedder()

    async def _catalog_of(self, handle: str) -> Catalog:
        if not self._knows(handle) and not self._means_default(handle):
            await self._reread()
        return self.own if self.own is not None and self.own.serves(handle) else self._configured

    def _knows(self, handle: str) -> bool:
        return self._configured.serves(handle) or (self.own is not None and self.own.serves(handle))

    def _means_default(self, handle: str) -> bool:
        return handle.startswith(f"{LEGACY_PROVIDER}/") and not self._knows(handle)

    def _explained(self, error: NotFound, handle: str) -> NotFound:
        """`error` with the organisation's own providers among those that there are."""
        if self.own is None or self._knows(handle):
            return error
        names = sorted({item.name for item in (*self._configured.providers, *self.own.providers)})
        return NotFound(error.what, handle, f"handles have the form provider/model; providers: {', '.join(names)}")


class Catalogs:
    """Gives each organisation its catalog; implements `ProviderCatalogs`. Closes what it opened, not `configured`."""

    def __init__(
        self,
        configured: Catalog,
        options: ModelOptions,
        load: Load,
        *,
        web: WebOptions,
        fresh_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`web`: where what organisations added may lead.

        `fresh_s`: how long what was read, or heard to have stood, is believed; infinite where no other process can
        write.
        """
        self._configured = configured
        self._options = replace(options, providers=(), default_embedding=None, web=web)
        self._web = web
        self._guest = Catalog(self._options)
        """Asks providers that are not stored."""
        self._load = load
        self._fresh_s = fresh_s
        self._clock = clock
        self._known: OrderedDict[OrganizationId, OrganizationCatalog] = OrderedDict()
        self._heard_at = -inf

    async def of(self, organization_id: OrganizationId) -> OrganizationCatalog:
        """The models that `organization_id` can use now."""
        found = self._known.get(organization_id)
        if found is None:
            found = self._known[organization_id] = self._fresh(organization_id)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        if found.changed or self._known_at(found) + self._fresh_s <= self._clock():
            self._known.move_to_end(organization_id)
            await self._read(organization_id, found)
        return found

    @property
    def configured_providers(self) -> tuple[ProviderOptions, ...]:
        """The providers of the server's settings."""
        return self._configured.providers

    async def check_address(self, provider: ProviderOptions) -> None:
        """Pass when the server may talk to the provider's address; see `ProviderCatalogs`."""
        base_url = resolve(provider).base_url
        if base_url is None or provider.category == "base":
            return
        if provider.type == "bedrock" and not self._web.allow_private:
            # Amazon's own library connects, which nobody watches while it does.
            raise InvalidInput("base_url: a provider of type 'bedrock' is named by its region alone")
        parts = urlsplit(base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with suppress(BadGateway):  # a name that leads nowhere now is looked up again when it is used
            await permitted_addresses(parts.hostname or "", port, self._web)

    async def try_out(self, provider: ProviderOptions) -> int:
        """Ask `provider` for its models; see `ProviderCatalogs`."""
        if provider.category == "base":
            return await self._configured.try_out(provider)
        await self.check_address(provider)
        return await self._guest.try_out(provider)

    async def refresh(self, organization_id: OrganizationId, name: str) -> int:
        """Ask a provider that the organisation added; see `ProviderCatalogs`."""
        own = (await self.of(organization_id)).own
        if own is None or not own.serves(name):
            raise NotFound("provider", name)
        return await own.refresh(name)

    def forget(self, organization_id: OrganizationId | None) -> None:
        """What the organisation added has changed; None: that of any may have."""
        for found in self._known.values() if organization_id is None else [self._known.get(organization_id)]:
            if found is not None:
                found.changed = True

    def hear(self) -> None:
        """Whatever was changed before now, `forget` was told of it."""
        self._heard_at = self._clock()

    async def aclose(self) -> None:
        """Close every connection to what organisations added."""
        for found in self._known.values():
            if found.own is not None:
                await found.own.aclose()
        self._known.clear()
        await self._guest.aclose()

    def _fresh(self, organization_id: OrganizationId) -> OrganizationCatalog:
        async def reread() -> None:
            found = self._known.get(organization_id)
            if found is not None and self._fresh_s != inf and self._clock() - found.read_at > MISS_S:
                await self._read(organization_id, found)

        return OrganizationCatalog(self._configured, reread)

    def _known_at(self, found: OrganizationCatalog) -> float:
        """When what was read certainly stood."""
        return max(found.read_at, min(self._heard_at, found.read_at + LONGEST_S - self._fresh_s))

    async def _read(self, organization_id: OrganizationId, found: OrganizationCatalog) -> None:
        # Before the read: a change that is stored while it goes on must be read by the next one.
        found.read_at, found.changed = self._clock(), False
        try:
            providers = await self._load(organization_id)
        except BaseException:
            found.changed = True
            raise
        if found.own is None and providers:
            found.own = Catalog(self._options)
        if found.own is not None:
            found.own.set_providers(providers)


__all__ = ["Catalogs", "OrganizationCatalog"]

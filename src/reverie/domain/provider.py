"""Model providers, those added over the API as they are stored, and what is known of the models they serve."""

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from reverie.domain.ids import OrganizationId, ProviderId


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A chat model that can be used now."""

    handle: str
    """`provider/model`."""
    name: str
    """As the provider names it."""
    provider_name: str
    """As configured here; the first part of the handle."""
    provider_type: str
    """The API's word for the kind of provider: `openai`, `anthropic`, `google_ai`, `ollama`, …"""
    endpoint: str | None
    context_window: int
    max_output_tokens: int | None = None
    display_name: str | None = None
    reasoning: bool = False
    """The model can reason before it answers."""
    vision: bool = False
    category: Literal["base", "byok"] = "base"
    """`base`: from the server's configuration; `byok`: added over the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderInfo:
    """An embedding model that can be used now."""

    handle: str
    name: str
    provider_name: str
    provider_type: str
    endpoint: str | None
    dimensions: int
    """0 while unknown: the first answer tells."""
    display_name: str | None = None
    category: Literal["base", "byok"] = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider that an organisation added over the API, for itself alone.

    Source: `Provider` of the API description, read 2026-11.
    """

    id: ProviderId
    organization_id: OrganizationId
    name: str
    """First part of its handles."""
    provider_type: str
    base_url: str | None = None
    sealed_api_key: str | None = field(default=None, repr=False)
    """Bound to `id`."""
    sealed_access_key: str | None = field(default=None, repr=False)
    """Bound to `id`."""
    region: str | None = None
    api_version: str | None = None
    last_synced: datetime | None = None
    """When it was last asked for its models on a user's word."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What opens a provider; None: not given."""

    api_key: str | None = field(default=None, repr=False)
    access_key: str | None = field(default=None, repr=False)
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDraft:
    """A provider to be added."""

    name: str
    provider_type: str
    credentials: Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProvider:
    """A provider as lists show it, whichever way it came here."""

    id: ProviderId
    name: str
    provider_type: str
    category: Literal["base", "byok"]
    base_url: str | None = None
    region: str | None = None
    api_version: str | None = None
    updated_at: datetime | None = None
    last_synced: datetime | None = None


def configured_id(name: str) -> ProviderId:
    """The id of a provider of the server's settings: always the same for one name, on every server."""
    digest = hashlib.sha256(b"reverie provider " + name.encode()).digest()
    return ProviderId(f"provider-{uuid.UUID(bytes=digest[:16], version=4)}")

"""Providers on the wire. Source: `Provider` and kin, API description, read 2026-11."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.domain.provider import Credentials, ListedProvider, ProviderDraft
from reverie.domain.provider_words import provider_type_word

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/\s]+$")]
"""First part of handles: no slash, no spaces."""
Short = Annotated[str, Field(max_length=500)]
Address = Annotated[str, Field(max_length=2_000, pattern=r"^(https?://[^\s/]+[^\s]*)?$")]
_SENDABLE: Final = r"^[\x20-\x7e\s]*$"
"""Keys travel in headers of HTTP, which take plain characters only."""


class ProviderState(TypedDict):
    """A provider. Keys are never told, in whatever form."""

    id: str
    name: str
    provider_type: str
    provider_category: Literal["base", "byok"]
    api_key: None
    api_key_enc: None
    access_key: None
    access_key_enc: None
    base_url: str | None
    region: str | None
    api_version: str | None
    updated_at: datetime | None
    last_synced: datetime | None


def provider_state(provider: ListedProvider) -> ProviderState:
    """The provider as clients read it."""
    return {
        "id": provider.id,
        "name": provider.name,
        "provider_type": provider_type_word(provider.provider_type),
        "provider_category": provider.category,
        "api_key": None,
        "api_key_enc": None,
        "access_key": None,
        "access_key_enc": None,
        "base_url": provider.base_url,
        "region": provider.region,
        "api_version": provider.api_version,
        "updated_at": provider.updated_at,
        "last_synced": provider.last_synced,
    }


class CredentialsBody(Body):
    """What opens a provider; what is not sent stays as it is."""

    api_key: str = Field(max_length=20_000, pattern=_SENDABLE, repr=False)
    access_key: str | None = Field(default=None, max_length=20_000, pattern=_SENDABLE, repr=False)
    region: Short | None = None
    base_url: Address | None = None
    api_version: Short | None = None

    def credentials(self) -> Credentials:
        """The credentials as operations take them."""
        return Credentials(
            api_key=self.api_key,
            access_key=self.access_key,
            base_url=self.base_url,
            region=self.region,
            api_version=self.api_version,
        )


class ProviderCheck(CredentialsBody):
    """Credentials to be tried."""

    provider_type: Short


class ProviderCreate(ProviderCheck):
    """A provider to be added."""

    name: Name

    def to_domain(self) -> ProviderDraft:
        """The draft, which is stored whole or not at all."""
        return ProviderDraft(name=self.name, provider_type=self.provider_type, credentials=self.credentials())

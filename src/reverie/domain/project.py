"""Projects: names under which an organisation keeps what belongs together."""

import re
import unicodedata
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from reverie.domain.ids import OrganizationId

DEFAULT_PROJECT: Final = "Default Project"
"""The project of what must lie in one and was put into none; its slug is `default-project`."""
LONGEST_NAME: Final = 50

_NAMESPACE: Final = uuid.UUID("0a7c4c0e-2d5b-4f43-9d9d-8a3d5f0b6c11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A named part of an organisation. What lies in it holds its id and outlives it.

    Source: `/v1/projects` of the API description, read 2026-11.
    """

    id: str
    """A UUID without a prefix, as the API has it."""
    organization_id: OrganizationId
    name: str
    slug: str
    """The name as paths and headers carry it. Names and slugs are unique in the organisation."""
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


def slug_of(name: str) -> str:
    """`name` in lower case ASCII words joined by dashes; empty where it has no such word."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


def implied_id(organization_id: OrganizationId, slug: str) -> str:
    """The id of the project that is made when somebody puts something into `slug` before it exists.

    The same at every time, so that reading from a project which is not there yet is reading
    from the one to come.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{organization_id}/{slug}"))

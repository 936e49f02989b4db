"""What an organisation says about the sandbox of its tools. Source: `SandboxConfig`, API description, read 2026-11."""

from dataclasses import dataclass, field
from datetime import datetime

from reverie.domain.ids import OrganizationId, SandboxId
from reverie.domain.json import JsonObject
from reverie.domain.tool import PipRequirement


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSandbox:
    """Settings that act on every custom tool of an organisation."""

    timeout_s: float | None = None
    """Of one call; the server's own limit is never passed."""
    use_requirements: bool = False
    requirements: tuple[PipRequirement, ...] = ()
    """Installed for every Python tool, if `use_requirements`; a tool's own of the same name count."""
    ignored: JsonObject = field(default_factory=dict)
    """What was sent and does nothing here, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """An organisation's settings; it has one at most."""

    id: SandboxId
    organization_id: OrganizationId
    settings: LocalSandbox
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxVariable:
    """A variable in the environment of every custom tool; an agent's secret of its name counts instead."""

    id: str
    organization_id: OrganizationId
    sandbox_config_id: SandboxId
    key: str
    sealed_value: str = field(repr=False)
    """Bound to `id`."""
    description: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None = None
    last_updated_by_id: str | None = None

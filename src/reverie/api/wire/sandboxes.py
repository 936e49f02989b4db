"""Sandbox configuration on the wire. Source: `SandboxConfig` and kin, API description, read 2026-11."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import Body
from reverie.api.wire.tools import RequirementBody
from reverie.domain.errors import InvalidInput
from reverie.domain.json import JsonObject
from reverie.domain.sandbox import LocalSandbox, SandboxConfig, SandboxVariable
from reverie.domain.tool import PipRequirement

_ELSEWHERE: Final = {
    "template": "tools do not run at e2b here; this server has one kind of sandbox, 'local'",
    "npm_requirements": "tools do not run at modal here; give npm_requirements to the tools themselves",
    "language": "tools do not run at modal here; each tool says its own source_type",
}
_IDLE: Final = {
    "sandbox_dir": "the server chooses where sandboxes are",
    "venv_name": "environments are named after what they hold, and made anew when that changes",
}
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class SandboxConfigState(TypedDict):
    """An organisation's settings. `config.ignored` names what was sent and does nothing here."""

    id: str
    type: str
    config: JsonObject
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class SandboxVariableState(TypedDict):
    """An environment variable of tools."""

    id: str
    key: str
    value: str
    value_enc: None
    description: str | None
    sandbox_config_id: str
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class SandboxConfigBody(Body):
    """Settings of any kind of sandbox; those of hosted ones are refused with the reason."""

    timeout: float | None = Field(default=None, gt=0)
    use_venv: bool = False
    pip_requirements: list[RequirementBody | Annotated[str, Field(min_length=1)]] | None = None
    sandbox_dir: str | None = None
    venv_name: str | None = None
    template: Any = None
    npm_requirements: Any = None
    language: Any = None

    def to_domain(self) -> LocalSandbox:
        """The settings as they act.

        Raises:
            InvalidInput: they are those of a hosted sandbox.
        """
        for name, reason in _ELSEWHERE.items():
            if name in self.model_fields_set and getattr(self, name) is not None:
                raise InvalidInput(f"config.{name}: {reason}")
        given = [RequirementBody(name=item) if isinstance(item, str) else item for item in self.pip_requirements or ()]
        ignored = {name: why for name, why in _IDLE.items() if getattr(self, name) is not None}
        if given and not self.use_venv:
            ignored["pip_requirements"] = "they count only with use_venv"
        return LocalSandbox(
            timeout_s=self.timeout,
            use_requirements=self.use_venv,
            requirements=tuple(PipRequirement(name=item.name, version=item.version) for item in given),
            ignored=ignored,
        )


class SandboxConfigCreate(Body):
    """Settings to be made."""

    config: SandboxConfigBody


class SandboxConfigUpdate(Body):
    """Settings to be put in the place of those there are."""

    config: SandboxConfigBody | None = None


class VariableCreate(Body):
    """A variable to be made."""

    key: VariableName
    value: str = Field(max_length=100_000, repr=False)
    description: str | None = None


class VariableUpdate(Body):
    """A partial update of a variable."""

    key: VariableName | None = None
    value: str | None = Field(default=None, max_length=100_000, repr=False)
    description: str | None = None


def sandbox_config_state(config: SandboxConfig) -> SandboxConfigState:
    """The settings as clients read them."""
    settings = config.settings
    shown: JsonObject = {
        "timeout": settings.timeout_s,
        "use_venv": settings.use_requirements,
        "pip_requirements": [{"name": item.name, "version": item.version} for item in settings.requirements],
    }
    if settings.ignored:
        shown["ignored"] = settings.ignored
    return {
        "id": config.id,
        "type": "local",
        "config": shown,
        "created_at": config.created_at,
        "updated_at": config.updated_at,
        "created_by_id": config.created_by_id,
        "last_updated_by_id": config.last_updated_by_id,
    }


def sandbox_variable_state(
    variable: SandboxVariable, open_secret: Callable[[str, str], str] | None
) -> SandboxVariableState:
    """The variable as clients read it; without `open_secret` its value is empty."""
    return {
        "id": variable.id,
        "key": variable.key,
        "value": "" if open_secret is None else open_secret(variable.sealed_value, variable.id),
        "value_enc": None,
        "description": variable.description,
        "sandbox_config_id": variable.sandbox_config_id,
        "created_at": variable.created_at,
        "updated_at": variable.updated_at,
        "created_by_id": variable.created_by_id,
        "last_updated_by_id": variable.last_updated_by_id,
    }

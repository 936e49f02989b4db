"""Reads the settings once: from the command line, the environment and a `.env` file, with words for what is wrong."""

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from reverie.config.problem import SettingsProblem
from reverie.config.providers import PROVIDERS
from reverie.config.settings import Settings

_CLIENT_VARIABLES: Final = frozenset({"REVERIE_URL", "REVERIE_MODEL", "REVERIE_EMBEDDING", "REVERIE_ENV_FILE"})
"""Read by the examples and the command line, not by the server."""


def default_data_dir() -> Path:
    """Where this platform keeps the data of a program."""
    home = Path(os.path.expanduser("~"))  # does not raise without a home, as Path.home() does
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "reverie"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "reverie"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "reverie"


def load_settings(overrides: Mapping[str, object] | None = None, *, env_file: Path | None = None) -> Settings:
    """Read the settings once: `overrides` by field name, then the environment, then the file.

    Without `env_file` the `.env` of the working directory is read where there is one.

    Raises:
        SettingsProblem: one line for each setting that cannot be used.
    """
    if env_file is not None and not env_file.is_file():
        raise SettingsProblem(f"the settings file {str(env_file)!r} does not exist; check the path")
    file = env_file or Path(".env")
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    environment = _variables(EnvSettingsSource(Settings))
    try:
        in_file = _variables(DotEnvSettingsSource(Settings, env_file=file))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsProblem(f"the settings file {str(file)!r} cannot be read: {error}") from error
    everything = {**in_file, **environment}
    wanted = {name for provider in PROVIDERS for name in provider.variables()}
    values: dict[str, Any] = {
        "_env_file": file,
        "data_dir": everything.get("REVERIE_DATA_DIR") or default_data_dir(),
        **given,
        "provider_variables": {name: text for name, text in everything.items() if name in wanted},
        "unknown_variables": _unknown(everything),
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsProblem("\n".join(_sentences(error, given, environment, in_file))) from None
    settings = settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})
    settings.providers()
    return settings


def _variables(source: EnvSettingsSource) -> dict[str, str]:
    return {name.upper(): value for name, value in source.env_vars.items() if value}


def _unknown(variables: Mapping[str, str]) -> tuple[str, ...]:
    known = {name for setting in describe_settings() for name in setting.names} | _CLIENT_VARIABLES
    return tuple(sorted(name for name in variables if name.startswith("REVERIE_") and name not in known))


def unknown_variable_hint(name: str) -> str:
    """Say that `name` means nothing, and what may have been meant."""
    known = [name for setting in describe_settings() for name in setting.names]
    close = difflib.get_close_matches(name, known, 1)
    return f"{name} is not a setting{f'; did you mean {close[0]}?' if close else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInfo:
    """One setting, for the reference page and for messages."""

    field: str
    names: tuple[str, ...]
    """Variables, ours first."""
    flag: str | None
    section: str
    default: str
    expects: str
    note: str
    secret: bool


def describe_settings() -> list[SettingInfo]:
    """Every setting, in the order of declaration."""
    return [_info(name, field) for name, field in Settings.model_fields.items() if field.json_schema_extra]


def _info(name: str, field: FieldInfo) -> SettingInfo:
    extra: Any = field.json_schema_extra
    default = field.default
    if isinstance(default, bool):
        shown = str(default).lower()
    else:
        shown = "" if default in (None, (), {}) else f"{default:g}" if isinstance(default, float) else str(default)
    return SettingInfo(
        field=name,
        names=tuple(extra["names"]),
        flag=extra["flag"],
        section=extra["section"],
        default=shown,
        expects=extra["expects"],
        note=field.description or "",
        secret=extra["secret"],
    )


def _sentences(
    error: ValidationError, given: Mapping[str, object], environment: Mapping[str, str], in_file: Mapping[str, str]
) -> list[str]:
    by_name = {name: setting for setting in describe_settings() for name in (setting.field, *setting.names)}
    lines: dict[str, str] = {}
    for problem in error.errors():
        setting = by_name[str(problem["loc"][0])]
        source, value = _origin(setting, given, environment, in_file)
        reason = f" ({problem['ctx']['error']})" if problem["type"] == "value_error" and "ctx" in problem else ""
        shown = "cannot be used" if setting.secret else f"is {value!r}"
        lines[setting.field] = f"{source} {shown}{reason}; give {setting.expects}"
    return list(lines.values())


def _origin(
    setting: SettingInfo, given: Mapping[str, object], environment: Mapping[str, str], in_file: Mapping[str, str]
) -> tuple[str, object]:
    """Where the value came from, as the user would name it, and the value."""
    if setting.field in given:
        return setting.flag or setting.names[0], given[setting.field]
    for variables, suffix in ((environment, ""), (in_file, " in the .env file")):
        for name in setting.names:
            if name in variables:
                return name + suffix, variables[name]
    return setting.names[0], None

"""What several dialects need alike when a prompt is put into a provider's words."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from reverie.domain.json import JsonValue
from reverie.domain.tool import ToolSpec
from reverie.models.base import Prompt

_ALLOWED_NAME: Final = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_NOT_ALLOWED: Final = re.compile(r"[^a-zA-Z0-9_-]")
MALFORMED_KEY: Final = "malformed_arguments"


def wire_name(name: str) -> str:
    """A name every provider accepts; different names stay different."""
    if _ALLOWED_NAME.match(name):
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{_NOT_ALLOWED.sub('_', name)[:57]}_{mark}"


@dataclass(frozen=True, slots=True)
class ToolNames:
    """Leads from names on the wire back to the tools' own."""

    own: Mapping[str, str]

    @staticmethod
    def of(prompt: Prompt) -> "ToolNames":
        """The changed names of `prompt`'s tools."""
        return ToolNames(
            {wire_name(tool.name): tool.name for tool in prompt.tools if not _ALLOWED_NAME.match(tool.name)}
        )

    def own_name(self, name: str) -> str:
        """The tool's name; a name that was never sent is left as it is."""
        return self.own.get(name, name)


def arguments_text(arguments: str) -> str:
    """The arguments of an earlier call as the JSON object that every provider demands; a good one as it was written.

    What a model once wrote wrongly is shown to it under one key, so that it can see its mistake.
    """
    if not arguments.strip():
        return "{}"
    try:
        well_formed = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        well_formed = False
    return arguments if well_formed else orjson.dumps({MALFORMED_KEY: arguments}).decode()


def is_strict(tool: ToolSpec) -> bool:
    """Whether a provider's strict mode takes the schema as it stands: closed objects, nothing optional."""
    return _closed(tool.parameters)


def _closed(schema: JsonValue) -> bool:
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") not in (None, False) or set(schema.get("required") or ()) != set(
            properties
        ):
            return False
        if not all(_closed(value) for value in properties.values()):
            return False
        return "properties" in schema
    inner: Iterable[JsonValue] = [
        schema.get("items"),
        *(schema.get("anyOf") or ()),
        *(schema.get("$defs") or {}).values(),
    ]
    return all(_closed(value) for value in inner)


def strict_schema(schema: JsonValue) -> JsonValue:
    """`schema` with `additionalProperties: false` on every object."""
    if isinstance(schema, list):
        return [strict_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {
        key: strict_schema(value) if key not in ("enum", "default", "examples") else value
        for key, value in schema.items()
    }
    if copy.get("type") == "object":
        copy["additionalProperties"] = False
    return copy

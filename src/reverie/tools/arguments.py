"""The arguments of a call, from a model's text to what the tool's schema asks for."""

import functools
import importlib
import json
import math
import re
from typing import Any, Final

from reverie.domain.errors import ToolError
from reverie.domain.json import JsonObject, JsonValue
from reverie.domain.tool import ToolSpec

OLDER_AGENTS_ADD: Final = frozenset({"request_heartbeat", "thinking", "inner_thoughts"})
"""Arguments that prompts of older agents ask for; dropped where the tool has none of that name."""

_INTEGER = re.compile(r"\s*[+-]?\d{1,18}\s*")
_LONGEST_QUOTE: Final = 200


def parse_arguments(text: str, spec: ToolSpec) -> JsonObject:
    """Return the arguments that `text` gives, fit for `spec`.

    Lenient where a slip loses nothing: `5.0` or `"5"` for an integer, an object sent as JSON text,
    null for an argument that may be left out.

    Raises:
        ToolError: they do not fit; the text tells the model what to change.
    """
    return fit_arguments(_decode(text, spec), spec)


def fit_arguments(given: JsonObject, spec: ToolSpec) -> JsonObject:
    """The same for arguments that are read already.

    Raises:
        ToolError: they do not fit; the text tells what to change.
    """
    properties: JsonObject = spec.parameters.get("properties") or {}
    required = spec.parameters.get("required") or []
    arguments: JsonObject = {}
    for name, value in given.items():
        if name in OLDER_AGENTS_ADD and name not in properties:
            continue
        schema = properties.get(name)
        if value is None and name in properties and name not in required and not _takes(schema, "null"):
            continue
        arguments[name] = _fit(value, schema)
    unknown = [name for name in arguments if name not in properties]
    if unknown and not spec.parameters.get("additionalProperties") and not spec.parameters.get("patternProperties"):
        allowed = ", ".join(properties) or "none"
        raise ToolError(
            f"{spec.name} has no argument {_names(unknown)}; its arguments are: {allowed}. Call it again without."
        )
    missing = [name for name in required if name not in arguments]
    if missing:
        raise ToolError(
            f"{spec.name} was called without {_names(missing)}, which it needs. "
            f"Call it again with all of: {_names(required)}."
        )
    error = _best_error(json.dumps(spec.parameters, sort_keys=True), arguments)
    if error is not None:
        raise ToolError(f"{spec.name} was called with a wrong argument: {error}. Call it again with that changed.")
    return arguments


def _decode(text: str, spec: ToolSpec) -> JsonObject:
    if not text.strip():
        return {}
    try:
        value = json.loads(text, strict=False, parse_constant=_no_constant)
        if isinstance(value, str):  # encoded twice
            value = json.loads(value, strict=False, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ToolError(
            f"the arguments of {spec.name} are not valid JSON ({error}); nothing was done. Call it again."
        ) from error
    if not isinstance(value, dict):
        raise ToolError(f"the arguments of {spec.name} must be one JSON object, got {_quote(value)}. Call it again.")
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _fit(value: JsonValue, schema: Any) -> JsonValue:
    """`value` in the form `schema` asks for, where that loses nothing; else as it is."""
    if not isinstance(schema, dict):
        return value
    wanted = schema.get("type")
    if isinstance(value, dict) and wanted == "object":
        inner = schema.get("properties") or {}
        return {name: _fit(item, inner.get(name)) for name, item in value.items()}
    if isinstance(value, list) and wanted == "array":
        return [_fit(item, schema.get("items")) for item in value]
    if isinstance(value, float) and wanted == "integer" and math.isfinite(value) and value.is_integer():
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and wanted == "string":
        return json.dumps(value)
    if isinstance(value, str) and isinstance(wanted, str):
        return _from_text(value, wanted, schema)
    return value


def _from_text(value: str, wanted: str, schema: JsonObject) -> JsonValue:
    match wanted:
        case "integer" if _INTEGER.fullmatch(value):
            return int(value)
        case "number":
            try:
                number = float(value)
            except ValueError:
                return value
            return number if math.isfinite(number) else value
        case "boolean" if value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        case "array" | "object":
            try:
                parsed = json.loads(value)
            except (ValueError, RecursionError):
                return value
            return _fit(parsed, schema) if isinstance(parsed, list if wanted == "array" else dict) else value
        case _:
            return value


def _takes(schema: Any, kind: str) -> bool:
    """Whether `schema` says that it takes values of JSON type `kind`."""
    if not isinstance(schema, dict) or not schema:
        return True
    named = schema.get("type")
    if named is not None:
        return kind in named if isinstance(named, list) else kind == named
    options = schema.get("anyOf") or schema.get("oneOf")
    return any(_takes(option, kind) for option in options) if options else "enum" not in schema and "$ref" not in schema


def _best_error(schema: str, arguments: JsonObject) -> str | None:
    error = importlib.import_module("jsonschema").exceptions.best_match(_validator(schema).iter_errors(arguments))
    if error is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    return f"{place or 'the whole'}: {_shorten(error.message)}"


@functools.lru_cache(maxsize=1024)
def _validator(schema: str) -> Any:
    """Compiled once for each schema; jsonschema takes 50 ms to load, so the first call with arguments loads it."""
    return importlib.import_module("jsonschema").Draft202012Validator(json.loads(schema))


def _names(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _quote(value: JsonValue) -> str:
    return _shorten(json.dumps(value, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"

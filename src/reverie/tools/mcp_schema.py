"""Schemas of MCP tools, brought to a form that every model provider takes, or refused with the reason.

Servers write what JSON Schema allows; providers take less. One tool that a provider refuses
fails the agent's whole request, so what cannot be mended is refused here, one tool at a time.
"""

import hashlib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reverie.domain.json import JsonObject
from reverie.domain.mcp_server import McpOffer, SchemaStatus

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ARGUMENT: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MOST_NODES: Final = 5_000
_DEEPEST: Final = 40
_LONGEST_DESCRIPTION: Final = 20_000
_DROPPED: Final = frozenset({"$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "$vocabulary"})
_STRICT_LACKS: Final = frozenset({"patternProperties", "not", "if", "then", "else", "dependentSchemas", "oneOf"})


class _Refused(Exception):
    """The schema cannot be used; the text says why."""


@dataclass
class _Work:
    """One schema under way."""

    root: JsonObject
    reasons: list[str] = field(default_factory=list)
    nodes: int = 0

    def note(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)


def offer_of(raw: JsonObject) -> McpOffer:
    """What becomes of a tool that a server offers as `raw`."""
    name = str(raw.get("name") or "")
    description = str(raw.get("description") or raw.get("title") or "")[:_LONGEST_DESCRIPTION]
    given = raw.get("inputSchema")
    work = _Work(root=given if isinstance(given, dict) else {})
    renamed: dict[str, str] = {}
    try:
        parameters, renamed = _with_plain_names(_top(name, given, work), work)
        _check(parameters)
        reasons = [*work.reasons, *_strict_reasons(parameters, "")]
        status = SchemaStatus.NON_STRICT_ONLY if reasons else SchemaStatus.STRICT_COMPLIANT
    except _Refused as error:
        parameters, status, reasons = {"type": "object", "properties": {}}, SchemaStatus.INVALID, [str(error)]
    return McpOffer(
        name=name,
        description=description,
        raw=raw,
        parameters=parameters,
        status=status,
        reasons=tuple(reasons),
        renamed=renamed,
    )


def plain_name(text: str) -> str:
    """`text` as a name that models may call: at most 64 letters, digits, `_` and `-`."""
    if _NAME.fullmatch(text):
        return text
    plain = re.sub(r"[^a-zA-Z0-9_-]+", "_", text).strip("_") or "tool"
    if len(plain) > 64:
        plain = f"{plain[:55]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return plain


def _top(name: str, schema: Any, work: _Work) -> JsonObject:
    if not name:
        raise _Refused("the tool has no name")
    if schema is None or schema == {} or schema is True:
        return {"type": "object", "properties": {}}
    if not isinstance(schema, dict):
        raise _Refused(f"the schema of its arguments is {type(schema).__name__}, not an object")
    found = _node(schema, work, depth=0, open_refs=())
    for word in ("allOf", "anyOf", "oneOf"):
        if word in found:
            found = _merged(found, word, work)
    kind = found.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise _Refused(f"the schema of its arguments is of type {kind!r}; tools take objects only")
    properties = found.get("properties") or {}
    for undescribed in [item for item in found.get("required") or () if item not in properties]:
        properties = {**properties, undescribed: {}}
        work.note(f"argument {undescribed!r} is required but not described")
    return {**found, "type": "object", "properties": properties}


def _merged(schema: JsonObject, word: str, work: _Work) -> JsonObject:
    """Alternatives at the top, which providers refuse, as one object that allows what any of them does."""
    work.note(f"'{word}' at the top was merged into one object")
    rest = {key: value for key, value in schema.items() if key != word}
    parts = [part for part in schema[word] if isinstance(part, dict)]
    properties = dict(rest.get("properties") or {})
    for part in parts:
        properties |= {name: item for name, item in (part.get("properties") or {}).items() if name not in properties}
    sets = [set(part.get("required") or ()) for part in parts]
    shared = (set.union(*sets) if word == "allOf" else set.intersection(*sets)) if sets else set()
    required = [name for name in properties if name in shared or name in (rest.get("required") or ())]
    return {**rest, "type": "object", "properties": properties, **({"required": required} if required else {})}


def _node(schema: Any, work: _Work, *, depth: int, open_refs: tuple[str, ...]) -> JsonObject:
    """One schema with references put in place and what no provider reads left out."""
    work.nodes += 1
    if depth > _DEEPEST or work.nodes > _MOST_NODES:
        raise _Refused(f"the schema of its arguments is too large: over {_MOST_NODES} parts or {_DEEPEST} levels")
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    if not isinstance(schema, dict):
        raise _Refused(f"{schema!r} stands where a schema should")
    if "$ref" in schema:
        return _resolved(schema, work, depth, open_refs)
    found: JsonObject = {}
    for key, value in schema.items():
        if key in _DROPPED or key.startswith("x-"):
            continue
        found[key] = _entry(key, value, work, depth + 1, open_refs)
    return _tidied(found, work)


def _tidied(found: JsonObject, work: _Work) -> JsonObject:
    """What providers want said in one way only."""
    if "const" in found:
        found.setdefault("enum", [found.pop("const")])
    if isinstance(found.get("items"), list):  # positions, as drafts before 2020 wrote them
        found["items"] = {"anyOf": found["items"]} if found["items"] else {}
        work.note("an array with a schema for each place takes any of them in every place")
    if found.get("type") == "array" and "items" not in found:
        found["items"] = {}
    if "properties" in found and "type" not in found:
        found["type"] = "object"
    return found


def _entry(key: str, value: Any, work: _Work, depth: int, open_refs: tuple[str, ...]) -> Any:
    def inner(item: Any) -> JsonObject:
        return _node(item, work, depth=depth, open_refs=open_refs)

    match key:
        case "properties" | "patternProperties" | "dependentSchemas" if isinstance(value, dict):
            return {name: inner(item) for name, item in value.items() if item is not False}
        case "items" if isinstance(value, list):
            return [inner(item) for item in value]
        case "anyOf" | "oneOf" | "allOf" | "prefixItems" if isinstance(value, list):
            return [inner(item) for item in value]
        case "items" | "not" | "if" | "then" | "else" | "contains" | "propertyNames":
            return inner(value)
        case "additionalProperties" if not isinstance(value, bool):
            return inner(value)
        case _:
            return value


def _resolved(schema: JsonObject, work: _Work, depth: int, open_refs: tuple[str, ...]) -> JsonObject:
    reference = schema["$ref"]
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise _Refused(f"the schema of its arguments refers to {reference!r}, which lies outside of it")
    if reference in open_refs:
        work.note(f"{reference} refers to itself; below the first level anything is taken")
        return {key: value for key, value in beside.items() if key == "description"}
    target: Any = work.root
    for part in reference.lstrip("#").strip("/").split("/"):
        step = part.replace("~1", "/").replace("~0", "~")
        if step == "":
            continue
        if not isinstance(target, dict) or step not in target:
            raise _Refused(f"the schema of its arguments refers to {reference!r}, which is not there")
        target = target[step]
    found = _node(target, work, depth=depth + 1, open_refs=(*open_refs, reference))
    return {**found, **_node(beside, work, depth=depth + 1, open_refs=open_refs)} if beside else found


def _with_plain_names(schema: JsonObject, work: _Work) -> tuple[JsonObject, dict[str, str]]:
    """`schema` with arguments renamed whose names some provider refuses, such as `$filter`."""
    renamed: dict[str, str] = {}
    properties: Mapping[str, Any] = schema["properties"]
    plain: dict[str, str] = {}
    for name in properties:
        fit = name if _ARGUMENT.fullmatch(name) else plain_name(name)
        while fit != name and (fit in properties or fit in renamed):
            fit = f"{fit[:62]}_"
        plain[name] = fit
        if fit != name:
            renamed[fit] = name
            work.note(f"argument {name!r} is called {fit!r} here")
    if not renamed:
        return schema, {}
    changed = {**schema, "properties": {plain[name]: item for name, item in properties.items()}}
    if "required" in schema:
        changed["required"] = [plain.get(name, name) for name in schema["required"]]
    return changed, renamed


def _check(schema: JsonObject) -> None:
    jsonschema = importlib.import_module("jsonschema")
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.exceptions.SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path)
        raise _Refused(
            f"the schema of its arguments is none ({place or 'the whole'}: {error.message[:200]})"
        ) from error


def _strict_reasons(schema: Any, place: str) -> list[str]:
    """What keeps a schema from OpenAI's strict mode. Source: its guide to structured outputs, read 2026-11."""
    if not isinstance(schema, dict):
        return []
    shown = place or "the top"
    reasons: list[str] = [f"{word!r} at {shown}" for word in sorted(_STRICT_LACKS & schema.keys())]
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            reasons.append(f"'additionalProperties' is not false at {shown}")
        properties = schema.get("properties") or {}
        optional = [name for name in properties if name not in (schema.get("required") or ())]
        if optional:
            reasons.append(f"{', '.join(optional)} may be left out at {shown}")
        for name, item in properties.items():
            reasons += _strict_reasons(item, f"{place}.{name}".lstrip("."))
    if not schema and place:
        reasons.append(f"anything is taken at {shown}")
    for part in schema.get("anyOf") or ():
        reasons += _strict_reasons(part, place)
    return reasons + _strict_reasons(schema.get("items"), f"{place}[]")

"""The JSON schema of a tool, read from its source. The source is parsed and never executed here."""

import ast
import importlib
import re
from functools import lru_cache
from typing import Final

from reverie.domain.errors import InvalidInput
from reverie.domain.json import JsonObject
from reverie.tools.docstrings import Doc, parse_docstring
from reverie.tools.source_types import Scope, TypeReader

SKIPPED_PARAMETERS: Final = frozenset({"self", "agent_state"})
"""Given by the server, not by the model."""
_ADDED: Final = frozenset({"request_heartbeat"})
"""What older servers asked models for besides, and wrote into tools' schemas."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def derive_schema(
    source: str,
    *,
    source_type: str = "python",
    args_json_schema: JsonObject | None = None,
    json_schema: JsonObject | None = None,
    name: str | None = None,
    description: str | None = None,
) -> JsonObject:
    """Return `{"name", "description", "parameters"}` for a tool.

    A given `json_schema` (bare, or wrapped as `{"type": "function", "function": {…}}`) wins over
    the source; `args_json_schema` replaces the parameters alone; `name` and `description` fill
    what neither says.

    Raises:
        InvalidInput: the source or a schema cannot be used; the text says what is missing and where.
    """
    if source_type != "python":
        if json_schema is None:
            raise InvalidInput(f"a tool in {source_type} needs a json_schema; only Python source can be read for one")
        return _given(json_schema, name, description)
    if json_schema is not None:
        entry, _ = _entry(source, name or _unwrap(json_schema).get("name"))
        return _given(json_schema, name or entry_function(source), description, without=_not_asked_for(entry))
    function, scope = _entry(source, name)
    doc = parse_docstring(ast.get_docstring(function))
    if args_json_schema is not None:
        parameters = _checked(args_json_schema, "args_json_schema")
    else:
        parameters = _parameters(function, scope, doc)
    return {
        "name": _checked_name(name or function.name),
        "description": description or doc.description or "",
        "parameters": parameters,
    }


def entry_function(source: str, name: str | None = None) -> str:
    """The function that a call runs: the one called `name`, or else the last public one at the top level.

    Raises:
        InvalidInput: the source does not parse or has no such function.
    """
    return _entry(source, name)[0].name


@lru_cache(maxsize=256)
def _entry(source: str, name: str | None) -> tuple[_Function, Scope]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise InvalidInput(f"the source has a syntax error in line {error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"the source cannot be parsed: {error}") from error
    functions = [node for node in tree.body if isinstance(node, _Function)]
    public = [node for node in functions if not node.name.startswith("_")]
    chosen = next((node for node in reversed(functions) if node.name == name), None) or (public[-1] if public else None)
    if chosen is None:
        raise InvalidInput("the source defines no public function at its top level; define one with `def name(…):`")
    return chosen, _scope_of(tree)


def _scope_of(tree: ast.Module) -> Scope:
    classes: dict[str, ast.ClassDef] = {}
    aliases: dict[str, ast.expr] = {}
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            imports |= {alias.asname or alias.name: alias.name for alias in node.names}
    for node in tree.body:
        match node:
            case ast.ClassDef():
                classes[node.name] = node
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=value)
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value)
            ):
                aliases[target] = value
            case _ if type(node).__name__ == "TypeAlias":  # Python 3.12's `type X = …`
                aliases[node.name.id] = node.value  # type: ignore[attr-defined]
    return Scope(classes=classes, aliases=aliases, imports=imports)


def _parameters(function: _Function, scope: Scope, doc: Doc) -> JsonObject:
    arguments = function.args
    if arguments.posonlyargs:
        raise InvalidInput(f"parameter {arguments.posonlyargs[0].arg!r} is positional-only; tools are called by name")
    first_default = len(arguments.args) - len(arguments.defaults)
    defaults: list[ast.expr | None] = [None] * first_default + list(arguments.defaults) + list(arguments.kw_defaults)
    properties: JsonObject = {}
    required: list[str] = []
    for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True):
        name = argument.arg
        if name in SKIPPED_PARAMETERS:
            continue
        if argument.annotation is None:
            raise InvalidInput(f"parameter {name!r} has no type annotation; write for example `{name}: str`")
        reader = TypeReader(scope, f"parameter {name!r}")
        schema = reader.field(argument.annotation, default)
        if name in doc.parameters:
            schema["description"] = doc.parameters[name]
        properties[name] = schema
        if default is None:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _unwrap(schema: JsonObject) -> JsonObject:
    inner = schema.get("function")
    return inner if isinstance(inner, dict) else schema


def _not_asked_for(function: _Function) -> frozenset[str]:
    """Names in a given schema that are no matter of the model: the function would be called without them."""
    taken = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    return SKIPPED_PARAMETERS | (_ADDED - taken if function.args.kwarg is None else frozenset())


def _given(
    schema: JsonObject, name: str | None, description: str | None, *, without: frozenset[str] = frozenset()
) -> JsonObject:
    inner = _unwrap(schema)
    parameters = inner.get("parameters") or {"type": "object", "properties": {}, "required": []}
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if isinstance(properties, dict) and without & properties.keys():
        kept = {key: value for key, value in properties.items() if key not in without}
        required = [key for key in parameters.get("required") or () if key not in without]
        parameters = {**parameters, "properties": kept, "required": required}
    return {
        "name": _checked_name(inner.get("name") or name),
        "description": inner.get("description") or description or "",
        "parameters": _checked(parameters, "json_schema.parameters"),
    }


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise InvalidInput(f"a tool's name has 1 to 64 letters, digits, '_' and '-'; got {name!r}")
    return name


def _checked(parameters: object, what: str) -> JsonObject:
    if not isinstance(parameters, dict) or parameters.get("type", "object") != "object":
        raise InvalidInput(f"{what} must be a JSON Schema of type 'object'")
    jsonschema = importlib.import_module("jsonschema")  # loaded when the first schema is given
    try:
        jsonschema.Draft202012Validator.check_schema(parameters)
    except jsonschema.SchemaError as error:
        raise InvalidInput(f"{what} is not a valid JSON Schema: {error.json_path}: {error.message[:300]}") from error
    return {"type": "object", "properties": {}, **parameters}

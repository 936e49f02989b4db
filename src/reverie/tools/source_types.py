"""JSON schemas of the types that a tool's source names, read from annotations and never executed."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from reverie.domain.errors import InvalidInput
from reverie.domain.json import JsonObject
from reverie.tools.docstrings import parse_docstring

_SIMPLE: Final[Mapping[str, JsonObject]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string"},
    "None": {"type": "null"},
    "NoneType": {"type": "null"},
    "Any": {},
    "object": {},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "UUID": {"type": "string", "format": "uuid"},
    "Path": {"type": "string"},
    "Decimal": {"type": "number"},
    "EmailStr": {"type": "string", "format": "email"},
    "HttpUrl": {"type": "string", "format": "uri"},
    "AnyUrl": {"type": "string", "format": "uri"},
}
_ARRAYS: Final = frozenset({"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "deque"})
_SETS: Final = frozenset({"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"})
_OBJECTS: Final = frozenset({"dict", "Dict", "Mapping", "MutableMapping", "defaultdict", "DefaultDict", "OrderedDict"})
_WRAPPERS: Final = frozenset({"Required", "NotRequired", "Final", "ReadOnly"})
_ENUMS: Final = frozenset({"Enum", "StrEnum", "IntEnum"})
_CONSTRAINTS: Final[Mapping[str, str]] = {
    "ge": "minimum",
    "le": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
}
_LENGTHS: Final[Mapping[str, Mapping[str, str]]] = {
    "string": {"min_length": "minLength", "max_length": "maxLength"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the source defines at its top level, by name."""

    classes: Mapping[str, ast.ClassDef]
    aliases: Mapping[str, ast.expr]
    imports: Mapping[str, str]
    """Local name to the name it was imported under, without its module."""


class TypeReader:
    """Turns annotation expressions into JSON schemas, by reading them."""

    def __init__(self, scope: Scope, what: str) -> None:
        self._scope = scope
        self._what = what
        self._open: list[str] = []
        """Classes and aliases being read, outermost first."""
        self._bound: dict[str, JsonObject] = {}
        """What the type variables of the generic class being read stand for."""

    def field(self, annotation: ast.expr, default: ast.expr | None) -> JsonObject:
        """The schema of a parameter or class field.

        Where leaving it out means None, the schema does not offer null besides: it is simpler for
        models, and a null that comes all the same is taken as left out.
        """
        schema = self.type(annotation)
        options = schema.get("anyOf")
        if default is not None and options and {"type": "null"} in options:
            rest = [option for option in options if option != {"type": "null"}]
            schema = {**schema, "anyOf": rest} if len(rest) > 1 else {**rest[0], **_without(schema, "anyOf")}
        return schema

    def type(self, node: ast.expr) -> JsonObject:
        """The schema of any annotation."""
        match node:
            case ast.Constant(value=None):
                return {"type": "null"}
            case ast.Constant(value=str() as text):
                return self.type(self._parse(text))
            case ast.Name() | ast.Attribute():
                return self._named(node)
            case ast.BinOp(op=ast.BitOr()):
                return self._union(list(_flatten(node)))
            case ast.Subscript(value=value, slice=inner):
                arguments = list(inner.elts) if isinstance(inner, ast.Tuple) else [inner]
                if isinstance(value, ast.Name) and value.id in self._scope.classes:
                    return self._class(self._scope.classes[value.id], arguments)
                return self._generic(self._name(value), arguments, node)
            case ast.Call(func=called, args=[_, base]) if self._name(called) == "NewType":
                return self.type(base)
            case ast.Call(func=called) if self._name(called) == "TypeVar":
                return {}
            case ast.Call(func=ast.Name(id="type"), args=[ast.Constant(value=None)]):
                return {"type": "null"}
        raise self._unknown(node)

    def _named(self, node: ast.expr) -> JsonObject:
        name = self._name(node)
        if isinstance(node, ast.Name) and node.id in self._bound:
            return dict(self._bound[node.id])
        if isinstance(node, ast.Name) and node.id in self._scope.classes:
            return self._class(self._scope.classes[node.id])
        if isinstance(node, ast.Name) and node.id in self._scope.aliases:
            if node.id in self._open:
                return {}
            self._open.append(node.id)
            try:
                return self.type(self._scope.aliases[node.id])
            finally:
                self._open.pop()
        if name in _SIMPLE:
            return dict(_SIMPLE[name])
        if name in _ARRAYS or name in _SETS or name in ("tuple", "Tuple"):
            return {"type": "array", "items": {}}
        if name in _OBJECTS:
            return {"type": "object", "additionalProperties": True}
        raise self._unknown(node)

    def _generic(self, name: str, arguments: list[ast.expr], node: ast.expr) -> JsonObject:
        if name == "Optional":
            return self._union([*arguments, ast.Constant(value=None)])
        if name == "Union":
            return self._union(arguments)
        if name == "Literal":
            return self._literal(arguments)
        if name == "Annotated":
            return _with_facts(self.type(arguments[0]), self._annotated(arguments[1:]))
        if name in _WRAPPERS:
            return self.type(arguments[0])
        if name in _ARRAYS:
            return {"type": "array", "items": self.type(arguments[0])}
        if name in _SETS:
            return {"type": "array", "items": self.type(arguments[0]), "uniqueItems": True}
        if name in ("tuple", "Tuple"):
            return self._tuple(arguments)
        if name in _OBJECTS:
            values = self.type(arguments[-1]) if len(arguments) > 1 else {}
            return {"type": "object", "additionalProperties": values or True}
        raise self._unknown(node)

    def _union(self, members: list[ast.expr]) -> JsonObject:
        options: list[JsonObject] = []
        for member in members:
            schema = self.type(member)
            if not schema:
                return {}
            for option in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
                if option not in options:
                    options.append(option)
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _literal(self, members: list[ast.expr]) -> JsonObject:
        values: list[Any] = []
        for member in members:
            try:
                values.append(ast.literal_eval(member))
            except ValueError:
                raise self._unknown(member) from None
        return _enum(values)

    def _tuple(self, members: list[ast.expr]) -> JsonObject:
        if len(members) == 2 and isinstance(members[1], ast.Constant) and members[1].value is Ellipsis:
            return {"type": "array", "items": self.type(members[0])}
        return {"type": "array", "items": self._union(members), "minItems": len(members), "maxItems": len(members)}

    def _annotated(self, notes: list[ast.expr]) -> JsonObject:
        found: JsonObject = {}
        for note in notes:
            match note:
                case ast.Constant(value=str() as text):
                    found["description"] = text
                case ast.Call(func=called) if self._name(called) == "Field":
                    found |= _facts(note)
        return found

    def _class(self, node: ast.ClassDef, arguments: Sequence[ast.expr] = ()) -> JsonObject:
        given = [self.type(argument) for argument in arguments]
        if node.name in self._open:
            return {"type": "object"}  # a model within itself; the sandbox checks what the schema does not say
        self._open.append(node.name)
        outside, variables = self._bound, self._type_variables(node)
        self._bound = {**outside, **{name: {} for name in variables}, **dict(zip(variables, given, strict=False))}
        try:
            kinds = set(self._ancestry(node))
            if kinds & _ENUMS:
                return _enum([value for value in map(_constant, _enum_members(node)) if value is not None])
            fields = kinds & {"BaseModel", "TypedDict", "NamedTuple"}
            if not fields and not any(self._name(item) == "dataclass" for item in node.decorator_list):
                raise InvalidInput(
                    f"{self._what} has type {node.name!r}, which is no Pydantic model, dataclass or Enum"
                )
            schema: JsonObject = {"type": "object", "properties": {}, "required": []}
            if text := parse_docstring(ast.get_docstring(node)).description:
                schema["description"] = text
            self._add_fields(node, schema)
            return schema
        finally:
            self._bound = outside
            self._open.pop()

    def _type_variables(self, node: ast.ClassDef) -> list[str]:
        """Names of a generic class's variables, in their order."""
        own = [item.name for item in getattr(node, "type_params", ())]  # Python 3.12's `class Box[T]`
        for base in node.bases:
            if isinstance(base, ast.Subscript) and self._name(base.value) in ("Generic", "Protocol"):
                inner = base.slice.elts if isinstance(base.slice, ast.Tuple) else [base.slice]
                own += [item.id for item in inner if isinstance(item, ast.Name)]
        return own

    def _add_fields(self, node: ast.ClassDef, schema: JsonObject) -> None:
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in self._scope.classes:
                self._add_fields(self._scope.classes[base.id], schema)
        body = list(node.body)
        described = parse_docstring(ast.get_docstring(node)).parameters
        may_lack = any(
            item.arg == "total" and isinstance(item.value, ast.Constant) and item.value.value is False
            for item in node.keywords
        )
        for position, item in enumerate(body):
            if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
                continue
            name = item.target.id
            inner = item.annotation.value if isinstance(item.annotation, ast.Subscript) else item.annotation
            if name.startswith("_") or name == "model_config" or self._name(inner) == "ClassVar":
                continue
            facts: JsonObject = {}
            default = item.value
            if isinstance(default, ast.Call) and self._name(default.func) in ("Field", "field"):
                facts = _facts(default)
                default = _default_of(default)
            following = body[position + 1] if position + 1 < len(body) else None
            match following:
                case ast.Expr(value=ast.Constant(value=str() as text)):
                    facts.setdefault("description", text.strip())
            if name in described:
                facts.setdefault("description", described[name])
            outside, self._what = self._what, f"{self._what}, field {node.name}.{name}"
            name = facts.pop("alias", name)
            schema["properties"][name] = _with_facts(self.field(item.annotation, default), facts)
            self._what = outside
            optional = default is not None or self._name(inner) == "NotRequired"
            optional = optional or (may_lack and self._name(inner) != "Required")
            schema["required"] = [entry for entry in schema["required"] if entry != name] + ([] if optional else [name])

    def _ancestry(self, node: ast.ClassDef, depth: int = 0) -> Iterator[str]:
        for base in node.bases:
            name = self._name(base.value if isinstance(base, ast.Subscript) else base)
            yield name
            if name in self._scope.classes and depth < 20:
                yield from self._ancestry(self._scope.classes[name], depth + 1)

    def _name(self, node: ast.expr) -> str:
        """The last part of a dotted name, as it was before any `import … as …`."""
        match node:
            case ast.Name(id=name):
                return self._scope.imports.get(name, name)
            case ast.Attribute(attr=name):
                return name
            case ast.Call(func=called):
                return self._name(called)
        return ""

    def _parse(self, text: str) -> ast.expr:
        try:
            return ast.parse(text, mode="eval").body
        except SyntaxError:
            raise InvalidInput(f"{self._what} has the annotation {text!r}, which is not a type") from None

    def _unknown(self, node: ast.expr) -> InvalidInput:
        return InvalidInput(
            f"{self._what} has type `{ast.unparse(node)}`, which has no JSON form; use str, int, float, bool, "
            "list, dict, Literal, Optional, or a Pydantic model or dataclass defined in the same source, "
            "or give args_json_schema"
        )


def _flatten(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _flatten(node.left)
        yield from _flatten(node.right)
    else:
        yield node


def _without(schema: JsonObject, key: str) -> JsonObject:
    return {name: value for name, value in schema.items() if name != key}


def _enum(values: list[Any]) -> JsonObject:
    names = {str: "string", bool: "boolean", int: "integer", float: "number"}
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and (kind := kinds.pop()) in names:
        return {"type": names[kind], "enum": values}
    return {"enum": values}


def _enum_members(node: ast.ClassDef) -> Iterator[ast.expr]:
    for item in node.body:
        match item:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                # `auto()` of a StrEnum is the lower-cased name
                yield ast.Constant(value=name.lower()) if isinstance(value, ast.Call) else value


def _constant(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if isinstance(value, str | int | float | bool) else None


def _facts(call: ast.Call) -> JsonObject:
    """What a Pydantic `Field(…)` says that JSON Schema can say too."""
    found: JsonObject = {}
    for keyword in call.keywords:
        value = _constant(keyword.value)
        if value is None or keyword.arg is None:
            continue
        if keyword.arg in ("description", "alias", "min_length", "max_length"):
            found[keyword.arg] = value
        elif keyword.arg in _CONSTRAINTS:
            found[_CONSTRAINTS[keyword.arg]] = value
    return found


def _with_facts(schema: JsonObject, facts: JsonObject) -> JsonObject:
    """`schema` with what `Field(…)` said; how long a value may be has a name of its own for each kind of value."""
    lengths = _LENGTHS.get(schema.get("type", ""), {})
    said = {lengths.get(name, name): value for name, value in facts.items()}
    return schema | {name: value for name, value in said.items() if name not in ("min_length", "max_length")}


def _default_of(call: ast.Call) -> ast.expr | None:
    """The default in `Field(…)` or `field(…)`; None where there is none."""
    given = [*call.args[:1], *(item.value for item in call.keywords if item.arg in ("default", "default_factory"))]
    return next((item for item in given if not (isinstance(item, ast.Constant) and item.value is Ellipsis)), None)

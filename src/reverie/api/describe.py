"""The server's own OpenAPI page, made when somebody asks for it.

FastAPI draws parameters and bodies; answers, errors, names and words are read here from the handlers:
their return types, their docstrings, and the lines of text below the fields of wire models.
"""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, count, pairwise
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from reverie import __version__
from reverie.api.encode.json import Json
from reverie.api.encode.sse import EventStream, SentEvents, StreamEvent
from reverie.api.examples import EXAMPLES, PARAMETERS
from reverie.api.routes import ALL_ROUTES
from reverie.api.security import OPEN_PATHS

_REF: Final = "#/components/schemas/{model}"
_EVENT: Final = "StreamEvent"
MEANINGS: Final = {
    400: "The request is well formed but cannot be met; the detail says why.",
    401: "No key, or a wrong one.",
    402: "The model's provider wants to be paid first.",
    403: "This key, host or page may not.",
    404: "Something the request names does not exist.",
    408: "Something outside did not answer in time.",
    409: "Something stands in the way; the detail says what to wait for or resolve.",
    410: "It was here and is not any more.",
    413: "The body is larger than this server takes.",
    415: "A file or body of a kind that cannot be read.",
    422: "The request has the wrong form; the detail says where.",
    429: "The model's provider takes no more requests for now.",
    501: "Not here; the detail says why.",
    502: "Something outside failed.",
    503: "The server, its database or a provider is busy or going down; try again.",
    504: "The model's provider did not answer in time.",
}
_FAULT_SCHEMA: Final = {
    "type": "object",
    "title": "Fault",
    "description": "Every error has this form.",
    "required": ["detail"],
    "properties": {
        "detail": {
            "description": "What is wrong and what to do; for malformed requests a list of faults.",
            "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array", "items": {"type": "object"}}],
        }
    },
    "example": {"detail": "there is no agent 'agent-123e4567-e89b-42d3-8456-426614174000'"},
}
_EVENT_SCHEMA: Final = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {"type": "string"},
        "event": {"enum": ["message", "error"], "description": "Named where something failed, and nowhere else."},
    },
}
_DESCRIPTION: Final = """\
An open server for stateful agents, for programs written against the Letta V1 API.

Every path answers with and without its last slash, and HEAD wherever there is GET. Errors are JSON with `detail`.
Lists come in pages: `after` is the last id of the page before.
"""


@cache
def openapi_page() -> dict[str, Any]:
    """The page, made once."""
    shown = [route for route in described_routes() if route.include_in_schema]
    page = get_openapi(title="Reverie", version=__version__, description=_DESCRIPTION, routes=shown)
    page["tags"] = list(_tags(shown))
    page["security"] = [{"key": []}, {}]
    parts = page.setdefault("components", {})
    parts["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key of `reverie keys create`. A server that only this machine can reach may need none.",
        }
    }
    schemas = parts.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    answers = _answer_schemas(shown, schemas)
    schemas["Fault"] = _FAULT_SCHEMA
    named: set[str] = set()
    for route, answer in zip(shown, answers, strict=True):
        for method in sorted(route.methods or ()):
            operation = page["paths"][route.path_format][method.lower()]
            _name(operation, route, named)
            operation["responses"] = _responses(route, answer)
            if route.path in OPEN_PATHS:
                operation["security"] = []
    _add_words(schemas, shown)
    return page


def described_routes() -> Iterator[APIRoute]:
    """Every route of the API."""
    for routes in ALL_ROUTES:
        yield from (route.described for route in routes.routes)


def _tags(routes: Iterable[APIRoute]) -> Iterator[dict[str, str]]:
    """Each tag once, with what the modules of its routes say of themselves."""
    words: dict[str, dict[str, None]] = {}
    for route in routes:
        said = (sys.modules[route.endpoint.__module__].__doc__ or "").strip()
        words.setdefault(str(route.tags[0]), {})[said] = None
    yield from ({"name": tag, "description": " ".join(said)} for tag, said in words.items())


def _answer_schemas(routes: list[APIRoute], schemas: dict[str, Any]) -> list[Any]:
    """The schema of each route's answer, None where it is no JSON; what they share goes into `schemas`."""
    found = [answer_type(route) for route in routes]
    adapters: list[Any] = [
        (number, "serialization", TypeAdapter(kind)) for number, kind in enumerate(found) if kind is not None
    ]
    adapters.append((_EVENT, "serialization", TypeAdapter(StreamEvent)))
    made, shared = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    schemas.update(shared.get("$defs", {}))
    schemas[_EVENT] = {"title": _EVENT, **made[_EVENT, "serialization"]}
    return [made.get((number, "serialization")) for number in range(len(routes))]


def answer_type(route: APIRoute) -> Any:
    """The type inside the handler's `Json[…]`; None where it answers something else."""
    returned = get_type_hints(route.endpoint).get("return")
    parts = [returned, *get_args(returned)]
    return next((get_args(part)[0] for part in parts if get_origin(part) is Json), None)


def _id_of(route: APIRoute, taken: set[str]) -> str:
    """The module and the function that answer; with a number where they answer at a second path."""
    name = f"{route.endpoint.__module__.rpartition('.')[2]}.{route.name}"
    chosen = next(found for found in chain([name], (f"{name}_{number}" for number in count(2))) if found not in taken)
    taken.add(chosen)
    return chosen


def _name(operation: dict[str, Any], route: APIRoute, taken: set[str]) -> None:
    """The operation's id and words, and an example of its body."""
    said = inspect.cleandoc(route.endpoint.__doc__ or "")
    operation["operationId"] = _id_of(route, taken)
    operation["summary"] = said.partition("\n")[0].rstrip(".")
    operation["description"] = said
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", _of_parameter(parameter["name"]))
    content = operation.get("requestBody", {}).get("content", {})
    for body in content.values():
        example = EXAMPLES.get(body_name(route) or "")
        if example is not None:
            body["example"] = example


def _of_parameter(name: str) -> str:
    if name in PARAMETERS:
        return PARAMETERS[name]
    thing = name.removesuffix("_id").replace("_", " ")
    return f"The {thing}'s id." if name.endswith("_id") else ""


def body_name(route: APIRoute) -> str | None:
    """The name of the body's type; None where there is no body."""
    if route.body_field is None:
        return None
    annotation = route.body_field.field_info.annotation
    union = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    first = next(kind for kind in union if kind is not type(None))
    return first.__name__ if isinstance(first, type) and get_origin(first) is None else str(first)


def statuses_of(route: APIRoute) -> list[int]:
    """Every status of an error that the route can answer."""
    always = {403} if route.path in OPEN_PATHS else {401, 403, 503}
    found = always | {int(status) for status in route.responses}
    takes = route.dependant.path_params or route.dependant.query_params or route.dependant.dependencies
    if takes or route.body_field is not None:
        found |= {400, 404, 422}
    if route.methods != {"GET"}:
        found.add(409)
    if route.body_field is not None:
        found.add(413)
    return sorted(found)


def _responses(route: APIRoute, answer: Any) -> dict[str, Any]:
    returned = get_type_hints(route.endpoint).get("return")
    content: dict[str, Any] = {}
    if answer is not None:
        content["application/json"] = {"schema": answer}
    kinds = [kind for kind in (returned, *get_args(returned)) if isinstance(kind, type)]
    if any(issubclass(kind, SentEvents) for kind in kinds):
        said = "Each `data:` line holds a `StreamEvent`; the last is `[DONE]`." if EventStream in kinds else ""
        content["text/event-stream"] = {
            "itemSchema": {**_EVENT_SCHEMA, "description": f"Server-Sent Events. {said}".rstrip()},
        }
    fault = {"application/json": {"schema": {"$ref": _REF.format(model="Fault")}}}
    faults = {
        str(status): {"description": MEANINGS[status], "content": route.responses.get(status, {}).get("content", fault)}
        for status in statuses_of(route)
    }
    success = str(route.status_code or 200)
    return {success: {"description": "Success", **({"content": content} if content else {})}, **faults}


def _add_words(schemas: dict[str, Any], routes: Iterable[APIRoute]) -> None:
    """Give each field the line of text that stands below it in its class."""
    classes: dict[str, type] = {}
    for route in routes:
        body = None if route.body_field is None else route.body_field.field_info.annotation
        for kind in (body, answer_type(route), StreamEvent):
            _gather(kind, classes)
    for name, cls in classes.items():
        fields = schemas.get(name, {}).get("properties", {})
        for field, words in words_below(cls).items():
            if field in fields and "$ref" not in fields[field]:
                fields[field].setdefault("description", words)


def _gather(annotation: Any, found: dict[str, type]) -> None:
    """Every wire class that `annotation` leads to, by its name."""
    if is_typeddict(annotation) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        if annotation.__name__ not in found:
            found[annotation.__name__] = annotation
            for hint in get_type_hints(annotation).values():
                _gather(hint, found)
        return
    for part in get_args(annotation):
        _gather(part, found)


def words_below(cls: type) -> dict[str, str]:
    """The docstring below each field of `cls` and of the classes it is made from."""
    found: dict[str, str] = {}
    for owner in reversed([cls, *_bases(cls)]):
        found |= _words_of(owner.__module__).get(owner.__name__, {})
    return found


@cache
def _words_of(module: str) -> dict[str, dict[str, str]]:
    """The docstring below each field of each class that `module` has."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {item.name: dict(_words_in(item)) for item in tree.body if isinstance(item, ast.ClassDef)}


def _words_in(cls: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(cls.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            words = below.value
            if isinstance(words, ast.Constant) and isinstance(words.value, str):
                yield field.target.id, inspect.cleandoc(words.value)


def _bases(cls: type) -> list[type]:
    """Classes of ours that `cls` takes fields from; a typed dictionary forgets its own in its bases."""
    if is_typeddict(cls):
        named = [base for base in getattr(cls, "__orig_bases__", ()) if is_typeddict(base)]
        return [*named, *(deeper for base in named for deeper in _bases(base))]
    return [base for base in cls.__mro__[1:] if base.__module__.startswith("reverie.")]

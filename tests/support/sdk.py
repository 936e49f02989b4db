"""What the client SDK of a version can ask, read from its own source."""

import ast
import fcntl
import importlib
import importlib.util
import inspect
import shutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from importlib.metadata import version as installed_version
from operator import or_
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin

import letta_client

OLDEST = "1.7.1"
NEWEST = "1.12.1"
VERSIONS = (OLDEST, NEWEST)
_VERBS = {"_get": "GET", "_post": "POST", "_put": "PUT", "_patch": "PATCH", "_delete": "DELETE", "get": "GET"}


class NotInstalled(Exception):
    """A version of the SDK that is not here and cannot be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkOperation:
    """One method of the SDK that makes a request."""

    name: str
    """Its place below the client, such as `agents.messages.create`."""
    verb: str
    path: str
    """The path's template, as the SDK writes it."""
    params: Any
    """The type of all it may be given besides the parts of the path; None: nothing."""
    body: frozenset[str]
    """Names of what goes into the body, as they stand on the wire."""
    query: frozenset[str]
    answer: Any
    """The type that the SDK reads answers with; None where it does not look at them."""
    event: Any
    """The type of a stream's events; None where it cannot stream."""

    @property
    def resource(self) -> str:
        """The name without its last part."""
        return self.name.rpartition(".")[0]

    @property
    def route(self) -> tuple[str, str]:
        """Verb and path, as `route_key` writes them."""
        return route_key(self.verb, self.path)


def route_key(verb: str, path: str) -> tuple[str, str]:
    """Verb and path in the form in which paths of all sides are alike."""
    parts = ["{}" if part.startswith("{") else part for part in path.rstrip("/").split("/")]
    return verb, "/".join(parts)


def sdk_place(version: str) -> Path:
    """The directory that holds `letta_client` of that version; installed once and kept in the environment.

    Raises:
        NotInstalled: it is not here, and pip cannot get it.
    """
    if version == installed_version("letta-client"):
        return Path(inspect.getfile(letta_client)).parents[1]
    place = Path(sys.prefix) / f"letta-client-{version}"
    with (Path(sys.prefix) / f".letta-client-{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            part = place.with_name(f"{place.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(part)]
            done = subprocess.run([*command, f"letta-client=={version}"], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise NotInstalled(f"letta-client {version} cannot be installed: {done.stderr.strip()[-200:]}")
            part.rename(place)
    return place


@cache
def sdk_package(version: str) -> str:
    """The name under which that version can be imported beside the installed one.

    Its modules name each other relative to the package, so the package works under any name.
    """
    place = sdk_place(version) / "letta_client"
    if place == Path(inspect.getfile(letta_client)).parent:
        return "letta_client"
    name = f"letta_client_{version.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name


@cache
def sdk_types(version: str) -> dict[str, Any]:
    """Every class that the SDK defines for bodies and answers, by its module and name below `types`."""
    package = sdk_package(version)
    root = sdk_place(version) / "letta_client" / "types"
    found: dict[str, Any] = {}
    for file in sorted(root.rglob("*.py")):
        if file.name == "__init__.py":
            continue
        below = ".".join(file.relative_to(root).with_suffix("").parts)
        module = importlib.import_module(f"{package}.types.{below}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                found[f"{below}.{name}"] = value
    return found


@cache
def sdk_operations(version: str) -> tuple[SdkOperation, ...]:
    """Every method of the SDK's synchronous client that makes a request."""
    package = sdk_package(version)
    root = sdk_place(version) / "letta_client"
    files = [*sorted((root / "resources").rglob("*.py")), root / "_client.py"]
    return tuple(operation for file in files for operation in _operations_in(package, root, file))


def _operations_in(package: str, root: Path, file: Path) -> Iterator[SdkOperation]:
    below = file.relative_to(root).with_suffix("").parts
    module = importlib.import_module(".".join((package, *below)))
    for cls in ast.parse(file.read_text()).body:
        for method, verb, path, request in operations_of_class(cls):
            yield _operation(".".join((*place_of(below), method)), verb, path, request, module)


def place_of(below: tuple[str, ...]) -> tuple[str, ...]:
    """Where the resource of a module hangs below the client; `below` is the module's path in the package."""
    *folders, last = below[1:] or below
    return (*folders, *([] if last in (*folders, "_client", "__init__") else [last]))


def operations_of_class(cls: ast.stmt) -> Iterator[tuple[str, str, str, ast.Call]]:
    """Name, verb, path and request of each method that makes one, in the synchronous form of a resource."""
    if not isinstance(cls, ast.ClassDef) or cls.name.startswith("Async"):
        return
    for method in cls.body:
        # An overload has no body to read a request from.
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            request = next(filter(_is_request, ast.walk(method)), None)
            if isinstance(request, ast.Call):
                yield method.name, _verb(request), _path(request.args[0]), request


def _verb(request: ast.Call) -> str:
    assert isinstance(request.func, ast.Attribute)
    given = {word.arg: word.value for word in request.keywords}
    return (_VERBS.get(request.func.attr) or str(ast.literal_eval(given.get("method", ast.Constant("GET"))))).upper()


def _is_request(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "self"
        and node.func.attr in (*_VERBS, "_get_api_list")
        and bool(node.args)
    )


def _operation(name: str, verb: str, path: str, request: ast.Call, module: ModuleType) -> SdkOperation:
    given = {word.arg: word.value for word in request.keywords}
    options = given.get("options")
    inner = {word.arg: word.value for word in options.keywords} if isinstance(options, ast.Call) else {}
    body, body_type = _sent(given.get("body"), module)
    query, query_type = _sent(inner.get("query"), module)
    answer = _answer(given, module)
    event = _value(given["stream_cls"], module).__args__[0] if "stream_cls" in given else None
    return SdkOperation(
        name=name,
        verb=verb,
        path=path,
        params=body_type or query_type,
        body=body,
        query=query,
        answer=None if answer == event else answer,
        event=event,
    )


def _path(node: ast.expr) -> str:
    """A constant, an f-string, or the first argument of `path_template`."""
    if isinstance(node, ast.Call):
        return _path(node.args[0])
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return str(ast.literal_eval(node))


def _sent(node: ast.expr | None, module: ModuleType) -> tuple[frozenset[str], Any]:
    """Wire names of what `maybe_transform` is given, and their type; a conditional names two."""
    if not isinstance(node, ast.Call):
        return frozenset(), None
    what, kind = node.args
    kinds = [kind.body, kind.orelse] if isinstance(kind, ast.IfExp) else [kind]
    params = reduce(or_, (_value(item, module) for item in kinds))
    names = wire_names(params)
    if isinstance(what, ast.Dict):
        written = {str(ast.literal_eval(key)) for key in what.keys if key is not None}
        return frozenset(wire for name, wire in names.items() if name in written), params
    return frozenset(names.values()), params


def _answer(given: dict[str | None, ast.expr], module: ModuleType) -> Any:
    if "page" in given:
        page = _value(given["page"], module)
        return list[_inside(page)] if "ArrayPage" in page.__name__ else page  # type: ignore[misc]  # made at run time
    answer = _value(given["cast_to"], module)
    return None if answer in (object, type(None)) else answer


def _inside(generic: Any) -> Any:
    metadata = getattr(generic, "__pydantic_generic_metadata__", None)
    return (metadata["args"] if metadata and metadata["args"] else get_args(generic))[0]


def _value(node: ast.expr, module: ModuleType) -> Any:
    if isinstance(node, ast.Call):  # cast(Any, …), for unions
        node = node.args[1]
    return eval(ast.unparse(node), {**vars(importlib.import_module("builtins")), **vars(module)})


def wire_names(params: Any) -> dict[str, str]:
    """Field names of a parameter type (or of a union of them) and the names they have on the wire."""
    kinds = get_args(params) or (params,)
    names: dict[str, str] = {}
    for kind in kinds:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            names[name] = alias_of(hint) or name
    return names


def alias_of(hint: Any) -> str | None:
    """The wire name that the SDK's annotation gives, if it differs."""
    if get_origin(hint) is None:
        return None
    for note in getattr(hint, "__metadata__", ()):
        if getattr(note, "alias", None):
            return str(note.alias)
    return next((found for part in get_args(hint) if (found := alias_of(part))), None)

"""What a handler takes from a request, read by a plan that is made once for each route.

FastAPI describes the parameters of handlers, for its page and for the rules that hold for each. Reading a
request by that description, it finds out anew each time what is a list and which name a header has, which
costs more than most answers do. A plan holds the same facts, ready to use; and it calls what handlers depend
on only when everything the request says is well formed.
"""

from collections.abc import Awaitable, Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, get_args, get_origin

import orjson
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.params import Body, Form, Header, Path, Query
from pydantic_core import PydanticUndefined
from starlette.datastructures import FormData, Headers, QueryParams, UploadFile
from starlette.requests import Request
from starlette.responses import Response

_MISSING: Final = PydanticUndefined
_NO_QUERY: Final = QueryParams()

Handler = Callable[..., Awaitable[Response]]


class Plan:
    """Reads the arguments of one handler."""

    def __init__(self, dependant: Dependant) -> None:
        self._calls: list[_Call] = []
        self._handler = self._add(dependant, {})
        self._has_query = any(call.query for call in self._calls)

    async def arguments(self, request: Request) -> dict[str, Any]:
        """What the handler is called with.

        Raises:
            RequestValidationError: something is missing or malformed; nothing was called yet.
        """
        faults: list[dict[str, Any]] = []
        query = request.query_params if self._has_query and request.scope["query_string"] else _NO_QUERY
        read = [call.read(request, query, faults) for call in self._calls]
        handler = self._calls[self._handler]
        if handler.body is not None:
            read[self._handler][handler.body.name] = handler.body.validated(await _body_of(request), faults)
        elif handler.form:
            form = await request.form()
            read[self._handler] |= {part.name: part.validated(_filled(part, form), faults) for part in handler.form}
        if faults:
            raise RequestValidationError(faults)
        found: list[Any] = []
        for call, values in zip(self._calls, read, strict=True):
            for name, place in call.needs:
                values[name] = found[place]
            # The handler is the last one; who asked calls it.
            found.append(values if call is handler else await call.function(**values))
        arguments: dict[str, Any] = found[self._handler]
        return arguments

    def _add(self, dependant: Dependant, places: dict[Any, int]) -> int:
        """The place of a call in the plan, behind all that it needs; each function has one."""
        if dependant.call in places:
            return places[dependant.call]
        needs = [(str(part.name), self._add(part, places)) for part in dependant.dependencies]
        self._calls.append(_Call.of(dependant, needs))
        places[dependant.call] = len(self._calls) - 1
        return places[dependant.call]


@dataclass(frozen=True, slots=True)
class _Value:
    """One thing that a request may say."""

    name: str
    """Of the argument."""
    key: str
    """In the request."""
    place: tuple[str, ...]
    """Told where it is malformed."""
    repeated: bool
    required: bool
    default: Any
    validate: Callable[..., tuple[Any, list[dict[str, Any]]]]

    def validated(self, value: Any, faults: list[dict[str, Any]]) -> Any:
        """The argument; None with a fault noted."""
        if value is _MISSING:
            if self.required:
                faults.append({"type": "missing", "loc": self.place, "msg": "Field required", "input": None})
                return None
            return deepcopy(self.default) if isinstance(self.default, list | dict) else self.default
        found, wrong = self.validate(value, {}, loc=self.place)
        faults += wrong
        return found


@dataclass(frozen=True, slots=True)
class _Call:
    """A handler, or what handlers depend on."""

    function: Handler
    needs: list[tuple[str, int]]
    """Names of arguments, with the place of the call whose answer they are."""
    path: tuple[_Value, ...]
    query: tuple[_Value, ...]
    headers: tuple[_Value, ...]
    body: _Value | None
    form: tuple[_Value, ...]
    request: str | None
    """The argument that is the request itself."""

    @classmethod
    def of(cls, dependant: Dependant, needs: list[tuple[str, int]]) -> "_Call":
        """The call that FastAPI has described."""
        assert dependant.call is not None
        bodies = _values(dependant.body_params)
        is_form = any(isinstance(field.field_info, Form) for field in dependant.body_params)
        if dependant.cookie_params or (len(bodies) > 1 and not is_form):
            raise TypeError(f"{dependant.call} takes cookies or several bodies, which no plan reads")
        return cls(
            function=dependant.call,
            needs=needs,
            path=_values(dependant.path_params),
            query=_values(dependant.query_params),
            headers=_values(dependant.header_params),
            body=bodies[0] if bodies and not is_form else None,
            form=bodies if is_form else (),
            request=dependant.request_param_name,
        )

    def read(self, request: Request, query: QueryParams, faults: list[dict[str, Any]]) -> dict[str, Any]:
        """The arguments that stand in the request, without its body."""
        values: dict[str, Any] = {}
        for value in self.path:
            values[value.name] = value.validated(request.path_params.get(value.key, _MISSING), faults)
        for value in self.query:
            values[value.name] = value.validated(_said(value, query), faults)
        if self.headers:
            headers = request.headers
            for value in self.headers:
                values[value.name] = value.validated(_said(value, headers), faults)
        if self.request is not None:
            values[self.request] = request
        return values


def _values(fields: Iterable[Any]) -> tuple[_Value, ...]:
    return tuple(_value(field) for field in fields)


def _value(field: Any) -> _Value:
    info = field.field_info
    key = field.validation_alias or field.alias
    if isinstance(info, Header) and info.convert_underscores and key == field.name:
        key = key.replace("_", "-")
    kinds = {Path: "path", Query: "query", Header: "header", Form: "body"}
    kind = next((word for kind, word in kinds.items() if isinstance(info, kind)), None)
    required = info.is_required()
    return _Value(
        name=field.name,
        key=key,
        place=("body",) if kind is None else (kind, key),
        repeated=not isinstance(info, Body) and _is_list(info.annotation),
        required=required,
        default=None if required else field.default,
        validate=field.validate,
    )


def _is_list(annotation: Any) -> bool:
    return any(get_origin(part) is list for part in (annotation, *get_args(annotation)) if part is not NoneType)


def _said(value: _Value, given: QueryParams | Headers) -> Any:
    if not given:
        return _MISSING
    if value.repeated:
        return given.getlist(value.key) or _MISSING
    return given.get(value.key, _MISSING)


def _filled(value: _Value, form: FormData) -> Any:
    """What a form says; a field without text, or without a file, says nothing."""
    said = form.get(value.key, _MISSING)
    empty = not (said.filename or said.size) if isinstance(said, UploadFile) else said == ""
    return _MISSING if empty else said


async def _body_of(request: Request) -> Any:
    """The body's JSON: what can be stored, so no half of a surrogate pair and no NaN."""
    content = await request.body()
    if not content:
        return _MISSING
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        # A page of any site can send other kinds without asking first, so none of them is taken for JSON.
        told = f"the body is sent as {kind or 'nothing in particular'}; send JSON, with content-type: application/json"
        raise RequestValidationError([{"type": "content_type", "loc": ("body",), "msg": told}])
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "", "ctx": {"error": error.msg}}
        raise RequestValidationError([fault]) from error

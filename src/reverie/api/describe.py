"""The server's own OpenAPI page, made when somebody asks for it."""

from collections.abc import Iterator
from typing import Any, Final, get_args, get_origin, get_type_hints

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from reverie.api.encode.json import Json
from reverie.api.encode.sse import EventStream

_REF: Final = "#/components/schemas/{model}"
_FAULTS: Final = {
    "400": "The request is well formed but cannot be met; the detail says why.",
    "401": "No key, or a wrong one.",
    "403": "This key, host or page may not.",
    "404": "Something the request names does not exist.",
    "409": "Something stands in the way; the detail says what to wait for or resolve.",
    "422": "The request has the wrong form; the detail says where.",
}
_FAULT_SCHEMA: Final = {
    "type": "object",
    "title": "Fault",
    "required": ["detail"],
    "properties": {
        "detail": {
            "description": "What is wrong and what to do; for malformed requests a list of faults.",
            "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array", "items": {"type": "object"}}],
        }
    },
}


class DescribedApp(FastAPI):
    """An application whose page tells what handlers really answer."""

    def openapi(self) -> dict[str, Any]:
        """The page, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _describe(self)
        return self.openapi_schema


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every API route of `app`."""
    for routes in app.state.routes:
        yield from (route for route in routes.routes if isinstance(route, APIRoute))


def _describe(app: FastAPI) -> dict[str, Any]:
    page = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = page.setdefault("components", {}).setdefault("schemas", {})
    schemas["Fault"] = _FAULT_SCHEMA
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    shown = [route for route in routes_of(app) if route.include_in_schema]
    answers = [_answer_type(route) for route in shown]
    adapters = [
        (number, "serialization", TypeAdapter(answer)) for number, answer in enumerate(answers) if answer is not None
    ]
    made, shared = TypeAdapter.json_schemas(adapters, ref_template=_REF)  # type: ignore[arg-type]  # modes are literals
    schemas.update(shared.get("$defs", {}))
    for number, route in enumerate(shown):
        schema = made.get((number, "serialization"))
        for method in route.methods or ():
            operation = page["paths"][route.path_format][method.lower()]
            operation["responses"] = _responses(route, schema)
    return page


def _answer_type(route: APIRoute) -> Any:
    """The type inside the handler's `Json[…]`; None where it answers something else."""
    returned = get_type_hints(route.endpoint).get("return")
    parts = [returned, *get_args(returned)]
    return next((get_args(part)[0] for part in parts if get_origin(part) is Json), None)


def _responses(route: APIRoute, schema: Any) -> dict[str, Any]:
    returned = get_type_hints(route.endpoint).get("return")
    content: dict[str, Any] = {}
    if schema is not None:
        content["application/json"] = {"schema": schema}
    if EventStream in (returned, *get_args(returned)):
        content["text/event-stream"] = {
            "schema": {"type": "string", "description": "Server-Sent Events; `data: [DONE]` is the last."}
        }
    fault = {"application/json": {"schema": {"$ref": _REF.format(model="Fault")}}}
    faults = {status: {"description": text, "content": fault} for status, text in _FAULTS.items()}
    success = str(route.status_code or 200)
    return {success: {"description": "Success", **({"content": content} if content else {})}, **faults}


DOCS_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Reverie API</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
h2{margin:2rem 0 .5rem;text-transform:capitalize}details{border-top:1px solid #ddd;padding:.3rem 0}
summary{cursor:pointer;font-family:ui-monospace,monospace}b{display:inline-block;width:4.5rem;color:#06c}
pre{background:#f5f5f5;padding:.6rem;overflow:auto;font-size:13px}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#222}
details{border-color:#333}b{color:#6bf}}
</style>
<h1>Reverie API</h1><p>Machine-readable: <a href="openapi.json">openapi.json</a></p><main>Loading …</main>
<script type="module">
const page = await (await fetch("openapi.json")).json();
const main = document.querySelector("main"); main.textContent = "";
const groups = new Map();
for (const [path, methods] of Object.entries(page.paths))
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags?.[0] ?? "other";
    if (!groups.has(tag)) groups.set(tag, []);
    groups.get(tag).push({path, method, operation});
  }
const element = (name, text) => Object.assign(document.createElement(name), {textContent: text});
for (const [tag, operations] of groups) {
  main.append(element("h2", tag));
  for (const {path, method, operation} of operations) {
    const details = element("details", ""), summary = element("summary", "");
    summary.append(element("b", method.toUpperCase()), path);
    details.append(summary, element("p", operation.description ?? operation.summary ?? ""));
    details.addEventListener("toggle", () => {
      if (details.open && !details.querySelector("pre")) {
        const {parameters, requestBody, responses} = operation;
        const success = Object.entries(responses).find(([status]) => status.startsWith("2"))?.[1];
        details.append(element("pre", JSON.stringify({parameters, requestBody, success}, null, 1)));
      }
    });
    main.append(details);
  }
}
</script></html>
"""

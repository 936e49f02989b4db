"""The OpenAPI page is complete: names, words, examples, statuses. That it is true, tests/property checks."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from reverie.api.describe import MEANINGS, body_name, described_routes, openapi_page
from reverie.api.errors import STATUS
from reverie.api.examples import EXAMPLES, PARAMETERS


@pytest.fixture(scope="module")
def page() -> Any:
    return openapi_page()


def operations(page: Any) -> Iterator[tuple[str, Any]]:
    """Each operation with its name for messages."""
    for path, methods in page["paths"].items():
        yield from ((f"{method.upper()} {path}", operation) for method, operation in methods.items())


def test_every_operation_has_a_name_of_its_own_and_words(page: Any) -> None:
    found = [operation for _, operation in operations(page)]
    names = [operation["operationId"] for operation in found]
    assert len(set(names)) == len(names)
    assert [operation["operationId"] for operation in found if not operation["summary"]] == []
    assert [operation["operationId"] for operation in found if len(operation["summary"]) > 120] == []


def test_every_tag_is_described(page: Any) -> None:
    described = {tag["name"]: tag["description"] for tag in page["tags"]}
    used = {tag for _, operation in operations(page) for tag in operation["tags"]}
    assert used == set(described)
    assert all(described.values())


def test_every_parameter_is_described(page: Any) -> None:
    silent = [
        (name, parameter["name"])
        for name, operation in operations(page)
        for parameter in operation.get("parameters", ())
        if not parameter.get("description")
    ]
    assert silent == [], "describe it at the parameter, or in reverie.api.examples.PARAMETERS"


def test_nothing_is_described_that_is_not_there(page: Any) -> None:
    used = {item["name"] for _, operation in operations(page) for item in operation.get("parameters", ())}
    assert set(PARAMETERS) - used == set()
    assert set(EXAMPLES) - {body_name(route) for route in described_routes()} == set()


def test_every_body_has_an_example_that_it_takes(page: Any) -> None:
    silent = [
        name
        for name, operation in operations(page)
        for kind, body in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json" and "example" not in body
    ]
    assert silent == [], "add it to reverie.api.examples.EXAMPLES"
    for route in described_routes():
        example = EXAMPLES.get(body_name(route) or "")
        if example is not None and route.body_field is not None:
            body: Any = route.body_field.field_info.annotation
            TypeAdapter(body).validate_python(example)


def test_whole_numbers_that_clients_send_are_bounded(page: Any) -> None:
    free: set[str] = set()
    for name, operation in operations(page):
        for parameter in operation.get("parameters", ()):
            free |= set(unbounded(parameter["schema"], f"{name} {parameter['name']}", page, set()))
        for body in operation.get("requestBody", {}).get("content", {}).values():
            free |= set(unbounded(body["schema"], "", page, set()))
    assert free == {"IdentityPropertyBody.value"}, "databases hold no larger ones; see wire.base.Whole"


def unbounded(schema: Any, where: str, page: Any, seen: set[str]) -> Iterator[str]:
    """Places of whole numbers without a largest one."""
    if schema.get("type") == "integer" and not {"maximum", "exclusiveMaximum"} & set(schema):
        yield where
    if "$ref" in schema and schema["$ref"] not in seen:
        seen.add(schema["$ref"])
        name = schema["$ref"].rpartition("/")[2]
        for field, part in page["components"]["schemas"][name].get("properties", {}).items():
            yield from unbounded(part, f"{name}.{field}", page, seen)
    for part in [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *([schema["items"]] if "items" in schema else [])]:
        yield from unbounded(part, where, page, seen)


def test_every_status_has_a_meaning_and_every_error_the_form_of_errors(page: Any) -> None:
    assert {status for status in STATUS.values() if status != 500} <= set(MEANINGS)
    for name, operation in operations(page):
        success = [status for status in operation["responses"] if status.startswith("2")]
        assert len(success) == 1, name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            if status not in success and name != "GET /v1/ready":
                assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}}


def test_the_key_is_described_and_open_paths_need_none(page: Any) -> None:
    assert page["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert page["paths"]["/v1/health"]["get"]["security"] == []
    assert "401" not in page["paths"]["/v1/health"]["get"]["responses"]


def test_events_of_streams_are_described(page: Any) -> None:
    kinds = page["components"]["schemas"]["StreamEvent"]["anyOf"]
    assert {"$ref": "#/components/schemas/ErrorEvent"} in kinds
    text = page["paths"]["/v1/agents/{agent_id}/messages/stream"]["post"]["responses"]["200"]["content"]
    assert "StreamEvent" in text["text/event-stream"]["itemSchema"]["description"]


def test_fields_carry_the_words_that_stand_below_them(page: Any) -> None:
    content = page["components"]["schemas"]["ContentBody"]["properties"]["content"]
    assert content["description"] == "The text of a `tool_return` part."

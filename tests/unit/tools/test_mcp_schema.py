"""Schemas of MCP tools, as every provider takes them."""

from typing import Any

import jsonschema
import pytest

from reverie.domain.mcp_server import SchemaStatus
from reverie.tools.mcp_schema import offer_of, plain_name


def offered(schema: Any) -> Any:
    return offer_of({"name": "t", "description": "d", "inputSchema": schema})


@pytest.mark.parametrize(
    ("schema", "parameters"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": True}}, {"type": "object", "properties": {"a": {}}}),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}},
            {"type": "object", "properties": {"a": {"type": "string"}}},
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}, "b": {"const": 1}}, "$schema": "x"},
            {"type": "object", "properties": {"a": {"type": "array", "items": {}}, "b": {"enum": [1]}}},
        ),
        (
            {"anyOf": [{"properties": {"a": {}, "b": {}}, "required": ["a", "b"]}, {"required": ["a"]}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
        ),
        (
            {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]},
        ),
        (
            {"type": "object", "properties": {}, "required": ["a"]},
            {"type": "object", "properties": {"a": {}}, "required": ["a"]},
        ),
    ],
)
def test_a_schema_that_means_something_is_brought_to_a_form_all_take(schema: Any, parameters: Any) -> None:
    offer = offered(schema)
    assert offer.status is not SchemaStatus.INVALID
    assert offer.parameters == parameters
    jsonschema.Draft202012Validator.check_schema(offer.parameters)


def test_a_schema_that_refers_to_itself_ends_after_one_level() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    offer = offered({"type": "object", "properties": {"root": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": tree}})
    assert offer.parameters["properties"]["root"]["properties"]["kids"]["items"] == {}
    assert any("refers to itself" in reason for reason in offer.reasons)


def test_a_schema_that_grows_without_bound_is_refused() -> None:
    defs = {
        f"d{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/d{n + 1}"} for k in "abcd"}} for n in range(9)
    }
    offer = offered({"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": {**defs, "d9": {}}})
    assert offer.status is SchemaStatus.INVALID
    assert "too large" in offer.reasons[0]


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "string"}, "'string'"),
        ("text", "not an object"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x.example/s.json"}}}, "outside"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}}, "not there"),
        ({"type": "object", "properties": {"a": {"type": "nonsense"}}}, "nonsense"),
        ({"type": "object", "properties": {"a": 5}}, "5"),
    ],
)
def test_a_schema_that_cannot_be_mended_is_refused_with_the_reason(schema: Any, word: str) -> None:
    offer = offered(schema)
    assert (offer.status, word in offer.reasons[0]) == (SchemaStatus.INVALID, True), offer.reasons


def test_arguments_that_no_provider_takes_are_renamed_and_found_back() -> None:
    offer = offered({"type": "object", "properties": {"$top": {}, "a b": {}, "top": {}}, "required": ["$top"]})
    assert offer.parameters["required"] == [name for name, own in offer.renamed.items() if own == "$top"]
    assert sorted(offer.renamed.values()) == ["$top", "a b"]
    assert len(offer.parameters["properties"]) == 3


def test_a_strict_schema_is_said_to_be_one() -> None:
    strict = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert (offered(strict).status, offered(strict).reasons) == (SchemaStatus.STRICT_COMPLIANT, ())
    loose = offered({**strict, "required": []})
    assert (loose.status, loose.reasons) == (SchemaStatus.NON_STRICT_ONLY, ("a may be left out at the top",))


@pytest.mark.parametrize(("name", "plain"), [("get_time", "get_time"), ("a.b/c", "a_b_c"), ("日本", "tool")])
def test_names_become_ones_that_models_may_call(name: str, plain: str) -> None:
    assert plain_name(name) == plain
    assert len(plain_name("x" * 100)) == 64
    assert plain_name("x" * 100) != plain_name("x" * 101)

"""Schemas from source, and arguments that fit them."""

from typing import Any

import pytest

from reverie.domain.errors import InvalidInput, ToolError
from reverie.domain.tool import ToolSpec
from reverie.tools.arguments import parse_arguments
from reverie.tools.source_schema import derive_schema

SOURCE = '''
import typing as t
from typing import List as L, Literal, Optional
from pydantic import BaseModel, Field

class Item(BaseModel):
    name: str = Field(description="Its name", min_length=1)
    size: Optional[int] = None

def _hidden(x): ...

async def add(agent_state: "AgentState", items: L[Item], mode: Literal["a", "b"], x: int | None,
              rates: dict[str, float] = {}, *, ids: t.Optional[tuple[int, ...]] = None) -> str:
    """Add things.

    Args:
        items: What to add.
    """
'''


def test_a_signature_and_its_docstring_become_a_schema() -> None:
    assert derive_schema(SOURCE) == {
        "name": "add",
        "description": "Add things.",
        "parameters": {
            "type": "object",
            "properties": {
                "items": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "description": "Its name"},
                            "size": {"type": "integer"},
                        },
                        "required": ["name"],
                    },
                    "description": "What to add.",
                },
                "mode": {"type": "string", "enum": ["a", "b"]},
                "x": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "rates": {"type": "object", "additionalProperties": {"type": "number"}},
                "ids": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["items", "mode", "x"],
        },
    }


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def f(x):\n    pass", "'x' has no type annotation"),
        ("def f(x: Foo):\n    pass", "Foo"),
        ("def f(:\n    pass", "line 1"),
        ("x = 1", "no public function"),
    ],
)
def test_what_is_missing_is_named(source: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        derive_schema(source)


def test_reading_a_source_never_runs_it() -> None:
    assert derive_schema("raise SystemExit\ndef f(x: str = exit()):\n    pass")["name"] == "f"


def test_a_given_schema_wins_also_wrapped() -> None:
    given = {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}
    assert derive_schema("let x", source_type="typescript", json_schema=given)["name"] == "g"
    with pytest.raises(InvalidInput, match="json_schema"):
        derive_schema("let x", source_type="typescript")


SPEC = ToolSpec(
    name="f",
    description="",
    parameters={
        "type": "object",
        "properties": {"n": {"type": "integer"}, "s": {"type": "string"}, "l": {"type": "array", "items": {}}},
        "required": ["n"],
    },
)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('{"n": 5.0}', {"n": 5}),
        ('{"n": "5", "s": null}', {"n": 5}),
        ('{"n": 5, "request_heartbeat": true, "thinking": "x"}', {"n": 5}),
        ('{"n": 5, "l": "[1]"}', {"n": 5, "l": [1]}),
        ('"{\\"n\\": 5}"', {"n": 5}),
    ],
)
def test_harmless_slips_are_mended(text: str, arguments: dict[str, Any]) -> None:
    assert parse_arguments(text, SPEC) == arguments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"n": ', "not valid JSON"),
        ("[1]", "one JSON object"),
        ("{}", "without 'n'"),
        ('{"n": 1, "z": 1}', "no argument 'z'; its arguments are: n, s, l"),
        ('{"n": 5.5}', "n: 5.5 is not of type 'integer'"),
        ('{"n": NaN}', "not valid JSON"),
    ],
)
def test_the_model_is_told_what_to_change(text: str, said: str) -> None:
    with pytest.raises(ToolError, match=said.replace(".", r"\.")):
        parse_arguments(text, SPEC)

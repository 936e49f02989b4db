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
                            "name": {"type": "string", "description": "Its name", "minLength": 1},
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


KINDS = '''
from __future__ import annotations
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar
from pydantic import BaseModel, Field

T = TypeVar("T")

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

class Level(IntEnum):
    LOW = 1
    HIGH = 2

@dataclass
class Point:
    """A place.

    Attributes:
        x: to the right
    """
    x: int
    tags: list[str] = field(default_factory=list)

class Options(TypedDict, total=False):
    a: int

class Pair(NamedTuple):
    a: int
    b: str = "x"

class Box(BaseModel, Generic[T]):
    inside: T
    more: Annotated[list[T], Field(max_length=2)] = []

class Node(BaseModel):
    value: int
    children: list[Node] = []

def helper(x: int) -> int:
    return x

def build(colour: Colour, level: Level, point: Point, options: Options, pair: Pair, box: Box[Point], node: Node,
          anything: Any, bare: list, nothing: type(None) = None, some: dict = None) -> str:
    """DOC"""
    return ""

def _private(x): ...
'''
DOCS = {
    "google": "Build.\n\n    Args:\n        colour (Colour): of the box\n            and its lid\n",
    "numpy": "Build.\n\n    Parameters\n    ----------\n    colour : Colour\n        of the box\n        and its lid\n",
    "rest": "Build.\n\n    :param colour: of the box\n        and its lid\n    :type colour: Colour\n    ",
}


@pytest.mark.parametrize("style", DOCS)
def test_every_kind_of_type_and_docstring_is_read(style: str) -> None:
    schema = derive_schema(KINDS.replace("DOC", DOCS[style]))
    assert (schema["name"], schema["description"]) == ("build", "Build.")
    point = {
        "type": "object",
        "properties": {
            "x": {"type": "integer", "description": "to the right"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["x"],
        "description": "A place.",
    }
    pair = {"a": {"type": "integer"}, "b": {"type": "string"}}
    inside = {"inside": point, "more": {"type": "array", "items": point, "maxItems": 2}}
    children = {"type": "array", "items": {"type": "object"}}
    assert schema["parameters"]["properties"] == {
        "colour": {"type": "string", "enum": ["red", "blue"], "description": "of the box\nand its lid"},
        "level": {"type": "integer", "enum": [1, 2]},
        "point": point,
        "options": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": []},
        "pair": {"type": "object", "properties": pair, "required": ["a"]},
        "box": {"type": "object", "properties": inside, "required": ["inside"]},
        "node": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "children": children},
            "required": ["value"],
        },
        "anything": {},
        "bare": {"type": "array", "items": {}},
        "nothing": {"type": "null"},
        "some": {"type": "object", "additionalProperties": True},
    }
    assert schema["parameters"]["required"] == [
        "colour", "level", "point", "options", "pair", "box", "node", "anything", "bare",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def f(x):\n    pass", "'x' has no type annotation"),
        ("def f(x: Foo):\n    pass", "Foo"),
        ("def f(:\n    pass", "line 1"),
        ("x = 1", "no public function"),
        ("def f(x: int, /):\n    pass", "'x' is positional-only"),
    ],
)
def test_what_is_missing_is_named(source: str, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        derive_schema(source)


def test_models_are_shown_a_docstrings_examples() -> None:
    schema = derive_schema(
        'def f(x: int):\n    """Do it.\n\n    Args:\n        x: how\n\n    Examples:\n        f(1)\n    """'
    )
    assert schema["description"] == "Do it.\n\nExamples:\nf(1)"


def test_models_are_not_told_of_arguments_without_names() -> None:
    schema = derive_schema("def f(x: int, *rest: str, **more):\n    pass")
    assert list(schema["parameters"]["properties"]) == ["x"]


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

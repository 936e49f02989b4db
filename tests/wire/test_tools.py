"""Tools from source: schemas, updates, lists, runs."""

from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from letta_client import APIStatusError, BadRequestError, ConflictError, Letta, NotFoundError
from letta_client.types import Tool
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import ANTHROPIC_MODEL, PIXEL, bare_agent, echo_source, new_agent, stored_bytes

pytestmark = pytest.mark.one_database("sqlite")

RICH = '''
from typing import Literal, Optional

async def {name}(city: str, days: int = 3, unit: Literal["c", "f"] = "c", tags: Optional[list[str]] = None) -> str:
    """Tell the weather.

    Args:
        city: where
        days: how far ahead
        unit: of temperature
        tags: what to look at

    Returns:
        A sentence.
    """
    return f"{{city}} {{days}} {{unit}} {{tags}}"
'''

PYDANTIC = '''
from pydantic import BaseModel, Field

class Guest(BaseModel):
    """Someone who comes."""
    name: str = Field(description="full name")
    age: int

def {name}(guest: Guest, table: int) -> str:
    """Seat a guest.

    Args:
        guest: who comes
        table: where to
    """
    return f"{{guest.name}} ({{guest.age + 1}}) sits at {{table}}"
'''

UNDOCUMENTED = """
def {name}(x: float, y):
    return x
"""


KINDS = '''
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Generic, NamedTuple, TypedDict, TypeVar
from pydantic import BaseModel

T = TypeVar("T")

class Colour(Enum):
    RED = "red"

@dataclass
class Point:
    x: int

class Options(TypedDict, total=False):
    a: int

class Pair(NamedTuple):
    a: int
    b: str = "x"

class Box(BaseModel, Generic[T]):
    inside: T

def helper(value):
    return type(value).__name__

def {name}(colour: Colour, point: Point, options: Options, pair: Pair, box: Box[Point], day: date,
           numbers: set[int], both: tuple[int, Point], maybe: Point | None = None) -> dict:
    """Build."""
    kinds = [colour, point, options, pair, box.inside, day, numbers, both, both[1], maybe]
    return {{"kinds": [helper(item) for item in kinds], "box": box, "point": point, "pair": pair, "colour": colour}}
'''

SPILL = """
def spill(fails: bool) -> str:
    import os, sys
    from urllib.parse import quote
    key = os.environ["TOKEN"]
    print("out", key)
    print("err", key, file=sys.stderr)
    if fails:
        raise RuntimeError(f"GET https://api.example/?key={quote(key, safe='')} with {key!r}")
    return key
"""

PICTURES = """
import base64

def {name}(how: str):
    data = "{data}"
    if how == "bytes":
        return base64.b64decode(data)
    picture = {{"type": "image", "source": {{"type": "base64", "media_type": "image/png", "data": data}}}}
    return ["Look:", picture]
"""


def _name(kind: str) -> str:
    return f"{kind}_{uuid4().hex[:12]}"


def _parameters(tool: Tool) -> Any:
    return (tool.json_schema or {})["parameters"]


def test_the_schema_is_derived_from_signature_and_docstring(client: Letta) -> None:
    name = _name("weather")
    tool = client.tools.create(source_code=RICH.format(name=name))
    assert tool.id.startswith("tool-")
    assert (tool.name, tool.tool_type, tool.source_type) == (name, "custom", "python")
    assert tool.description == "Tell the weather."
    schema = tool.json_schema or {}
    assert schema["name"] == name
    parameters = _parameters(tool)
    properties = parameters["properties"]
    assert list(properties) == ["city", "days", "unit", "tags"]
    assert properties["city"] == {"type": "string", "description": "where"}
    assert properties["days"]["type"] == "integer"
    assert properties["unit"]["enum"] == ["c", "f"]
    assert "array" in str(properties["tags"])
    assert parameters["required"] == ["city"]


def test_an_async_tool_runs(client: Letta) -> None:
    name = _name("weather")
    tool = client.tools.create(source_code=RICH.format(name=name))
    agent = bare_agent(client, tool_ids=[tool.id])
    result = client.agents.tools.run(name, agent_id=agent.id, args={"city": "Bern", "unit": "f"})
    assert (result.status, result.func_return) == ("success", "Bern 3 f None")


def test_pydantic_arguments_are_described_and_built(client: Letta, provider: Provider) -> None:
    name = _name("seat")
    tool = client.tools.create(source_code=PYDANTIC.format(name=name))
    text = str(_parameters(tool))
    assert "full name" in text
    assert "age" in text
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call(name, guest={"name": "Ada", "age": 36}, table=2), say("done"))
    answer = client.agents.messages.create(agent.id, input="seat Ada")
    assert answer.messages[1].tool_return == "Ada (37) sits at 2"  # type: ignore[union-attr]


def test_arguments_of_every_kind_are_built(client: Letta) -> None:
    name = _name("kinds")
    tool = client.tools.create(source_code=KINDS.format(name=name))
    agent = bare_agent(client, tool_ids=[tool.id])
    given: dict[str, Any] = {"colour": "red", "point": {"x": "1"}, "options": {}, "pair": {"a": 1}, "day": "2026-11-26"}
    given |= {"box": {"inside": {"x": 2}}, "numbers": [1, 2], "both": [1, {"x": 3}]}
    ran: Any = client.agents.tools.run(name, agent_id=agent.id, args=given)
    assert ran.status == "success", ran
    kinds = ["Colour", "Point", "dict", "Pair", "Point", "date", "set", "tuple", "Point", "NoneType"]
    assert ran.func_return == {
        "kinds": kinds, "box": {"inside": {"x": 2}}, "point": {"x": 1}, "pair": [1, "x"], "colour": "red",
    }  # fmt: skip
    wrong = client.agents.tools.run(name, agent_id=agent.id, args={**given, "colour": "green", "point": {}})
    assert wrong.status == "error"
    assert wrong.func_return is None
    assert "point: 'x' is a required property" in str(wrong.stderr)


@pytest.mark.parametrize("how", ["bytes", "parts"])
def test_pictures_that_tools_return_are_shown(client: Letta, provider: Provider, how: str) -> None:
    name = _name("draw")
    tool = client.tools.create(source_code=PICTURES.format(name=name, data=PIXEL))
    agent = bare_agent(client, tool_ids=[tool.id], model=ANTHROPIC_MODEL)
    provider.script(call(name, how=how), say("A dot."))
    (_, returned, _) = client.agents.messages.create(agent.id, input="draw").messages
    parts: Any = returned.tool_returns[0].tool_return  # type: ignore[union-attr,index]
    assert [part.type for part in parts] == (["image"] if how == "bytes" else ["text", "image"])
    assert (parts[-1].source.media_type, parts[-1].source.data) == ("image/png", PIXEL)
    assert PIXEL in str(provider.requests[-1].body["messages"][-1])
    by_hand: Any = client.agents.tools.run(name, agent_id=agent.id, args={"how": how})
    assert by_hand.func_return[-1]["source"]["data"] == PIXEL


def test_a_tool_without_docstring_or_with_undescribed_parameters_is_accepted(client: Letta) -> None:
    tool = client.tools.create(
        source_code='def {}(a: int) -> int:\n    """Add."""\n    return a'.format(_name("terse"))
    )
    assert _parameters(tool)["properties"]["a"]["type"] == "integer"


def test_a_given_argument_schema_is_used(client: Letta) -> None:
    given: dict[str, object] = {
        "type": "object",
        "properties": {"x": {"type": "string", "description": "mine"}},
        "required": ["x"],
    }
    source = 'def {}(x):\n    """Do."""\n    return x'.format(_name("given"))
    tool = client.tools.create(source_code=source, args_json_schema=given)
    assert _parameters(tool)["properties"] == given["properties"]
    assert _parameters(tool)["required"] == ["x"]


def test_a_given_schema_may_be_wrapped_as_a_function(client: Letta) -> None:
    name = _name("wrapped")
    schema = {"name": name, "description": "mine", "parameters": {"type": "object", "properties": {}, "required": []}}
    tool = client.tools.create(
        source_code=f'def {name}():\n    """Do."""\n    return 1', json_schema={"type": "function", "function": schema}
    )
    assert (tool.name, tool.description) == (name, "mine")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (UNDOCUMENTED.format(name="untyped"), ["y"]),
        ("def broken(:\n    pass", ["line 1"]),
        ("x = 1", ["function"]),
        ("", ["source_code"]),
        ('def odd(a: "Missing") -> str:\n    """Do."""\n    return ""', ["a", "Missing"]),
    ],
)
def test_source_that_gives_no_schema_is_400_and_names_what_is_wrong(
    client: Letta, source: str, words: list[str]
) -> None:
    with pytest.raises((BadRequestError, APIStatusError)) as refused:
        client.tools.create(source_code=source)
    assert refused.value.status_code == (400 if source else refused.value.status_code)
    detail = refused.value.body["detail"]  # type: ignore[index]
    for word in words:
        assert word in str(detail)


def test_every_field_of_a_tool_comes_back(client: Letta) -> None:
    name = _name("whole")
    fields: dict[str, Any] = {
        "source_code": echo_source(name),
        "source_type": "python",
        "description": "said otherwise",
        "tags": ["a", "b"],
        "return_char_limit": 123,
        "default_requires_approval": True,
        "enable_parallel_execution": True,
        "pip_requirements": [{"name": "six", "version": "1.17.0"}],
        "npm_requirements": [{"name": "left-pad"}],
    }
    tool = client.tools.create(**fields)
    again = client.tools.retrieve(tool.id)
    assert again == tool
    for field in ("source_code", "source_type", "description", "return_char_limit", "default_requires_approval"):
        assert getattr(again, field) == fields[field]
    assert sorted(again.tags or []) == ["a", "b"]
    assert again.enable_parallel_execution is True
    assert [(item.name, item.version) for item in again.pip_requirements or []] == [("six", "1.17.0")]
    assert [item.name for item in again.npm_requirements or []] == ["left-pad"]


def test_a_second_tool_of_the_same_name_is_409_and_upsert_replaces_it(client: Letta) -> None:
    name = _name("twice")
    first = client.tools.create(source_code=echo_source(name), return_char_limit=7, default_requires_approval=True)
    with pytest.raises(ConflictError) as refused:
        client.tools.create(source_code=echo_source(name))
    assert name in str(refused.value.body)
    second = client.tools.upsert(source_code=f'def {name}(n: int) -> int:\n    """Other."""\n    return n', tags=["x"])
    assert (second.id, second.description, second.tags) == (first.id, "Other.", ["x"])
    assert (second.return_char_limit, second.default_requires_approval) == (7, True)  # nobody spoke of them
    assert list(_parameters(second)["properties"]) == ["n"]
    fresh = client.tools.upsert(source_code=echo_source(_name("fresh")))
    assert fresh.id != first.id


def test_changed_source_changes_schema_and_result(client: Letta) -> None:
    name = _name("changing")
    tool = client.tools.create(source_code=echo_source(name))
    agent = bare_agent(client, tool_ids=[tool.id])
    assert client.agents.tools.run(name, agent_id=agent.id, args={"text": "a"}).func_return == "echo: a"
    changed = client.tools.update(
        tool.id,
        source_code=f'def {name}(text: str, loud: bool = False) -> str:\n    """Say."""\n    return text.upper()',
        tags=["new"],
    )
    assert list(_parameters(changed)["properties"]) == ["text", "loud"]
    assert changed.tags == ["new"]
    assert client.agents.tools.run(name, agent_id=agent.id, args={"text": "a"}).func_return == "A"
    other: Any = {"name": "another", "description": "d", "parameters": {"type": "object", "properties": {}}}
    with pytest.raises(BadRequestError, match="another"):
        client.tools.update(tool.id, source_code=echo_source(name), json_schema=other)


def test_lists_filter_tools(client: Letta) -> None:
    names = [_name("listed") for _ in range(3)]
    tools = [client.tools.create(source_code=echo_source(name)) for name in names]
    ids = [tool.id for tool in tools]

    def found(**query: Any) -> list[str]:
        return [tool.id for tool in client.tools.list(order="asc", **query)]

    assert found(name=names[0]) == ids[:1]
    assert found(names=names[:2]) == ids[:2]
    assert found(tool_ids=ids[1:]) == ids[1:]
    assert found(search=names[2]) == ids[2:]
    assert found(tool_ids=ids, limit=2) == ids
    assert found(tool_ids=ids, exclude_tool_types=["custom"]) == []
    assert set(ids) <= set(found(tool_types=["custom"], limit=1000))
    builtin = {tool.name for tool in client.tools.list(return_only_letta_tools=True)}
    assert {"memory_insert", "conversation_search"} <= builtin
    assert not builtin & set(names)


def test_a_tool_is_attached_detached_and_deleted(client: Letta, provider: Provider) -> None:
    name = _name("moving")
    tool = client.tools.create(source_code=echo_source(name))
    agent = bare_agent(client)
    client.agents.tools.attach(tool.id, agent_id=agent.id)
    assert [item.id for item in client.agents.tools.list(agent.id)] == [tool.id]
    client.agents.messages.create(agent.id, input="one")
    client.agents.tools.detach(tool.id, agent_id=agent.id)
    client.agents.tools.detach(tool.id, agent_id=agent.id)
    assert client.agents.tools.list(agent.id).items == []
    client.agents.messages.create(agent.id, input="two")
    assert [name in request.tools for request in provider.requests] == [True, False]
    client.agents.tools.attach(tool.id, agent_id=agent.id)
    client.tools.delete(tool.id)
    with pytest.raises(NotFoundError):
        client.tools.retrieve(tool.id)
    client.agents.messages.create(agent.id, input="three")
    assert name not in provider.requests[-1].tools


def test_a_function_cut_out_of_its_file_runs(client: Letta, provider: Provider) -> None:
    name = _name("cut")
    source = (
        f"def {name}(guests: List[Guest], host: Optional[Guest] = None, note: Optional[str] = None) -> str:\n"
        '    """Welcome guests.\n\n    Args:\n        guests: who comes\n        host: who asks\n    """\n'
        '    return ", ".join(f"{guest.name} ({guest.room.number})" for guest in guests) + f" {host} {note}"'
    )
    room = {"type": "object", "title": "Room", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
    guest = {
        "type": "object",
        "title": "Guest",
        "properties": {"name": {"type": "string"}, "room": {"$ref": "#/$defs/Room"}},
        "required": ["name", "room"],
    }
    schema: dict[str, object] = {
        "type": "object",
        "$defs": {"Guest": guest, "Room": room},
        "properties": {"guests": {"type": "array", "items": {"$ref": "#/$defs/Guest"}}, "note": {"type": "string"}},
        "required": ["guests"],
    }
    tool = client.tools.create(source_code=source, args_json_schema=schema)
    agent = bare_agent(client, tool_ids=[tool.id])
    provider.script(call(name, guests=[{"name": "Ada", "room": {"number": 7}}]), say("done"))
    answer = client.agents.messages.create(agent.id, input="welcome them")
    assert answer.messages[1].tool_return == "Ada (7) None None"  # type: ignore[union-attr]


def test_a_run_by_hand_says_what_happened(client: Letta, server: Server) -> None:
    good, bad = _name("good"), _name("bad")
    source = f'def {good}(n: int) -> dict:\n    """Do."""\n    print("working")\n    return {{"n": n}}'
    ids = [
        client.tools.create(source_code=source).id,
        client.tools.create(source_code=f'def {bad}() -> str:\n    """Do."""\n    raise ValueError("no luck")').id,
    ]
    agent = bare_agent(client, tool_ids=ids)
    done = client.agents.tools.run(good, agent_id=agent.id, args={"n": 7})
    assert (done.status, done.stdout) == ("success", ["working\n"])
    assert done.func_return == {"n": 7}
    client.tools.update(ids[0], return_char_limit=4)
    shortened = client.agents.tools.run(good, agent_id=agent.id, args={"n": 7}).func_return
    assert isinstance(shortened, str) and shortened.startswith('{"n"\n[function output was truncated to the first '), (
        shortened
    )
    failed = client.agents.tools.run(bad, agent_id=agent.id, args={})
    assert (failed.status, failed.func_return) == ("error", None)
    assert failed.stderr and failed.stderr[0].startswith("Traceback"), failed
    assert "no luck" in failed.stderr[0]
    with pytest.raises(NotFoundError):
        client.agents.tools.run("no_such_tool", agent_id=agent.id, args={})
    remembering = new_agent(client)
    edit: dict[str, object] = {"label": "human", "new_string": "likes tea"}
    assert client.agents.tools.run("memory_insert", agent_id=remembering.id, args=edit).status == "success"
    assert "likes tea" in client.agents.blocks.retrieve("human", agent_id=remembering.id).value
    refused = client.agents.tools.run("memory_insert", agent_id=remembering.id, args={"label": "no", "new_string": "x"})
    assert (refused.status, refused.func_return) == ("error", None)
    env = f'def {_name("env")}(n: int) -> str:\n    """Do."""\n    import os\n    return os.environ["WORD"] * n'
    tool_id = client.tools.create(source_code=env).id
    with server.http as http:
        for what in ({"source_code": env}, {"tool_id": tool_id}):
            ran = http.post("/v1/tools/run", json={**what, "args": {"n": "2"}, "env_vars": {"WORD": "ha"}}).json()
            assert (ran["status"], ran["tool_return"]) == ("success", "haha")
        assert "'n'" in http.post("/v1/tools/run", json={"tool_id": tool_id}).json()["tool_return"]
        both, absent = {"tool_id": tool_id, "source_code": env}, {"tool_id": f"{tool_id[:-4]}0000"}
        answers = [http.post("/v1/tools/run", json=what).status_code for what in ({}, both, absent)]
        assert answers == [422, 422, 404]


def test_secrets_reach_the_tool_and_are_nowhere_in_clear(client: Letta, server: Server, provider: Provider) -> None:
    secret = f"s3cret-{uuid4().hex}"
    name = _name("peek")
    source = (
        f'def {name}() -> str:\n    """Look."""\n    import os\n'
        '    return os.environ["TOKEN"][::-1] + " " + os.environ["LETTA_AGENT_ID"]'
    )
    tool = client.tools.create(source_code=source)
    agent = bare_agent(client, tool_ids=[tool.id], secrets={"TOKEN": secret})
    provider.script(call(name), say("ok"))
    answer = client.agents.messages.create(agent.id, input="look")
    assert answer.messages[1].tool_return == f"{secret[::-1]} {agent.id}"  # type: ignore[union-attr]
    assert all(secret.encode() not in text for text in stored_bytes(server))
    assert secret not in str(provider.requests[0].body)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_what_tools_let_slip_of_secrets_is_read_nowhere(start_server: StartServer, provider: Provider) -> None:
    secret = f"s3cret/{uuid4().hex}&more"
    server = start_server(REVERIE_LOG_LEVEL="debug", REVERIE_ACCESS_LOG="true")
    client = server.client
    tool = client.tools.create(source_code=SPILL)
    agent = bare_agent(client, tool_ids=[tool.id], secrets={"TOKEN": secret})
    other = bare_agent(client, tool_ids=[tool.id], secrets={"ANOTHER": "value of another"})
    for owner, status in ((agent, "error"), (other, "error"), (agent, "success")):
        provider.script(call("spill", fails=status == "error"), say("ok"))
        (_, returned, _) = client.agents.messages.create(owner.id, input="go").messages
        assert returned.status == status, returned  # type: ignore[union-attr]
        if owner is agent:
            assert returned.stdout == ["out [secret TOKEN]\n"]  # type: ignore[union-attr]
            assert returned.stderr[0].startswith("err [secret TOKEN]\n")  # type: ignore[union-attr,index]
        if owner is agent and status == "error":
            assert "?key=[secret TOKEN] with '[secret TOKEN]'" in str(returned.tool_return)  # type: ignore[union-attr]
        if owner is other:
            assert "KeyError: 'TOKEN'" in str(returned.tool_return)  # type: ignore[union-attr]
    told = {"log": server.log}
    with server.http as http:
        for path in (f"/v1/agents/{agent.id}/export", "/v1/runs", "/v1/steps", "/v1/approvals"):
            told[path] = http.get(path).text
        for step in http.get("/v1/steps").json():
            told[f"trace of {step['id']}"] = http.get(f"/v1/steps/{step['id']}/trace").text
            told[f"spans of {step['run_id']}"] = http.get(f"/v1/runs/{step['run_id']}/trace").text
    assert [place for place, text in told.items() for form in (secret, quote(secret, safe="")) if form in text] == []
    assert "spill" in told[f"/v1/agents/{agent.id}/export"]


def test_tools_are_found_by_words_and_by_meaning(client: Letta) -> None:
    word = f"zebra{uuid4().hex[:8]}"
    made = client.tools.create(source_code=echo_source(f"echo_{word}"), description=f"Counts every {word} there is")
    (hit,) = client.tools.search(query=word, search_mode="fts")
    assert (hit.tool.id, hit.fts_rank, hit.vector_rank) == (made.id, 1, None)
    assert client.tools.search(query=word, search_mode="fts", tool_types=["letta_core"]) == []
    assert client.tools.search(query=word)[0].tool.id == made.id
    weather = client.tools.create(source_code=echo_source(f"get_{word}"), description="Tells whether it will rain")
    near = client.tools.search(query="meteorological forecast", search_mode="vector", limit=3, tool_types=["custom"])
    assert weather.id in [hit.tool.id for hit in near]
    assert near[0].vector_rank is not None and near[0].embedded_text
    client.tools.update(weather.id, description=f"Peels potatoes for {word}")
    near = client.tools.search(query="cooking vegetables", search_mode="vector", limit=3, tool_types=["custom"])
    assert weather.id in [hit.tool.id for hit in near]  # its vector is made anew
    assert weather.id in [hit.tool.id for hit in client.tools.search(query=f"peel {word}", search_mode="fts")]

"""What holds for every route alike, before anything is looked up: forms, keys, spellings, sizes, HEAD."""

import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
from tests.support.app import OurRoute, our_routes
from tests.unit.api.test_app import AGENT, Idle, the_app

from reverie.api.app import SecurityOptions, create_app
from reverie.api.security import OPEN_PATHS
from reverie.auth.keys import Gate, NoKeys, TokenHasher
from reverie.operations.base import Operations

UUID = AGENT.removeprefix("agent-")
ALL = list(our_routes().values())
CLOSED = [route for route in ALL if route.path not in OPEN_PATHS]


def id_forms(route: OurRoute) -> dict[str, str]:
    """What ids in the route's path begin with, by the name of their parameter."""
    found: dict[str, str] = {}
    for item in route.route.dependant.path_params:
        patterns = [p for rule in item.field_info.metadata if "{8}" in (p := getattr(rule, "pattern", None) or "")]
        if patterns:
            kinds = re.findall(r"[a-z_]+(?:-env)?", patterns[0])
            found[item.alias] = f"{'conv' if kinds[0] == 'default' else kinds[0]}-"
    return found


WITH_IDS = [route for route in ALL if id_forms(route)]
WITH_NEEDS = [
    route for route in ALL if (field := route.route.body_field) is not None and field.field_info.is_required()
]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Talks to an application that asks for no key."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(the_app()), base_url="http://localhost:8283") as client:
        yield client


@pytest.fixture
async def locked() -> AsyncIterator[httpx.AsyncClient]:
    """Talks to an application that asks for a key, with a wrong one, and takes bodies of 100 bytes."""

    class Nothing:
        runs = Idle()

    gate = Gate(required=True, hasher=TokenHasher(b"k" * 32), store=NoKeys())
    options = SecurityOptions(gate=gate, keys_required=True, max_body_bytes=100)
    app = create_app(cast(Operations, Nothing()), options)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://localhost:8283",
        headers={"authorization": "Bearer wrong"},
    ) as client:
        yield client


def concrete(route: OurRoute, **given: str) -> str:
    """The route's path with ids of the right form."""
    path = route.path
    for name, prefix in id_forms(route).items():
        path = path.replace(f"{{{name}}}", given.get(name, f"{prefix}{UUID}"))
    return re.sub(r"\{\w+\}", UUID, path)


async def test_ids_of_a_wrong_form_are_422_and_the_field_is_named(client: httpx.AsyncClient) -> None:
    assert WITH_IDS
    for route in WITH_IDS:
        names = list(id_forms(route))
        path = concrete(route, **dict.fromkeys(names, "nonsense!"))
        answer = await client.request(route.verb, path, json={})
        assert answer.status_code == 422, route
        places = [item["loc"] for item in answer.json()["detail"]]
        of_path = [place for place in places if place[0] == "path" and place[1] in names]
        assert [["path", name] for name in names] == of_path, route


async def test_a_missing_body_is_422_and_the_place_is_named(client: httpx.AsyncClient) -> None:
    assert WITH_NEEDS
    for route in WITH_NEEDS:
        answer = await client.request(route.verb, concrete(route))
        assert answer.status_code == 422, route
        (fault, *_) = answer.json()["detail"]
        assert fault["loc"][0] == "body", route
        assert fault["msg"], route


async def test_a_wrong_key_is_401_under_both_spellings(locked: httpx.AsyncClient) -> None:
    assert CLOSED
    for route in CLOSED:
        for path in (concrete(route), concrete(route) + "/"):
            answer = await locked.request(route.verb, path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["detail"]


async def test_a_body_over_the_limit_is_413(locked: httpx.AsyncClient) -> None:
    with_bodies = [route for route in ALL if route.body is not None]
    assert with_bodies
    for route in with_bodies:
        answer = await locked.request(route.verb, concrete(route), content=b"[" + b" " * 100 + b"]")
        assert answer.status_code == 413, route
        assert "100 bytes" in answer.json()["detail"], route


async def test_head_is_get_without_a_body(locked: httpx.AsyncClient) -> None:
    for route in CLOSED:
        if route.verb == "GET":
            answer = await locked.head(concrete(route))
            assert (answer.status_code, answer.content) == (401, b""), route


async def test_paths_that_need_no_key_answer_without_one(locked: httpx.AsyncClient) -> None:
    for path in OPEN_PATHS:
        answers: list[Any] = [await locked.get(path), await locked.get(path + "/"), await locked.head(path)]
        (status,) = {answer.status_code for answer in answers}
        assert status in (200, 400), path
        assert answers[2].content == b""

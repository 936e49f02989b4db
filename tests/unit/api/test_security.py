"""Who gets through the layers around the routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.routing import Route, Router

from reverie.api.encode.json import Json
from reverie.api.errors import Border
from reverie.api.security import BodyLimit, Doors, Keys, Paths, SecurityOptions
from reverie.auth.keys import Gate, NoKeys, TokenHasher


async def echo(request: Request) -> Json[Any]:
    caller = request.scope["state"]["caller"]
    return Json({"method": request.method, "size": len(await request.body()), "key": caller.key_id})


async def health(_request: Request) -> Json[Any]:
    return Json({"status": "ok"})


async def broken(_request: Request) -> Json[Any]:
    raise RuntimeError("the secret is 1234")


def layers(options: SecurityOptions) -> Any:
    routes = [
        Route("/v1/echo", echo, methods=["GET", "POST"]),
        Route("/v1/health", health),
        Route("/v1/broken", broken),
    ]
    inner = Keys(Router(routes, redirect_slashes=False), options)
    return Border(Paths(Doors(BodyLimit(inner, options), options)))


@asynccontextmanager
async def calling(
    *, required: bool = False, base_url: str = "http://localhost:8283", **wish: Any
) -> AsyncIterator[httpx.AsyncClient]:
    gate = Gate(required=required, hasher=TokenHasher(b"k" * 32), store=NoKeys(), configured_key="sesame")
    options = SecurityOptions(gate=gate, keys_required=required, **wish)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(layers(options)), base_url=base_url) as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "localhost:8283", "127.0.0.1:8283", "127.3.4.5", "[::1]:8283"])
async def test_names_of_this_machine_are_answered(host: str) -> None:
    async with calling() as client:
        assert (await client.get("/v1/echo", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.1.5:8283", "127.0.0.1.evil.example", ""]
)
async def test_other_names_are_refused_with_a_remedy(host: str) -> None:
    async with calling() as client:
        response = await client.get("/v1/health", headers={"host": host})
    assert response.status_code == 403
    assert "REVERIE_ALLOWED_HOSTS" in response.json()["detail"]


async def test_a_named_proxy_is_answered_and_so_is_any_host_beyond_loopback() -> None:
    async with calling(allowed_hosts=("Letta.Example",)) as client:
        assert (await client.get("/v1/echo", headers={"host": "letta.example:443"})).status_code == 200
    async with calling(loopback=False) as client:
        assert (await client.get("/v1/echo", headers={"host": "anything.example"})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000"])
async def test_pages_of_other_origins_get_nothing(origin: str) -> None:
    async with calling() as client:
        for method in ("GET", "POST", "OPTIONS"):
            response = await client.request(method, "/v1/echo", headers={"origin": origin})
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers


async def test_the_servers_own_page_may_call() -> None:
    async with calling() as client:
        assert (await client.get("/v1/echo", headers={"origin": "http://localhost:8283"})).status_code == 200


async def test_a_configured_origin_passes_with_its_preflight() -> None:
    page = "https://app.example"
    async with calling(allowed_origins=(page,), required=True) as client:
        asked = {"origin": page, "access-control-request-method": "POST", "access-control-request-headers": "x-a"}
        preflight = await client.options("/v1/echo", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == page
        assert preflight.headers["access-control-allow-headers"] == "x-a"
        refused = await client.get("/v1/echo", headers={"origin": page})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == page  # so that the page can read why


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "bearer sesame"},
        {"x-bare-password": "password sesame"},
    ],
)
async def test_a_key_opens_wherever_clients_put_it(headers: dict[str, str]) -> None:
    async with calling(required=True, loopback=False) as client:
        assert (await client.get("/v1/echo", headers=headers)).json()["key"] == "configured"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-bare-password": "password wrong"}])
async def test_without_the_key_only_health_answers(headers: dict[str, str]) -> None:
    async with calling(required=True, loopback=False) as client:
        for path in ("/v1/echo", "/v1/echo/", "/docs", "/nothing"):
            response = await client.get(path, headers=headers)
            assert response.status_code == 401
            assert response.json()["detail"]
        for path in ("/v1/health", "/v1/health/"):
            assert (await client.get(path, headers=headers)).status_code == 200


async def test_placeholder_keys_pass_where_none_is_asked_for() -> None:
    async with calling() as client:
        response = await client.get("/v1/echo", headers={"authorization": "Bearer dummy", "user_id": "user-1"})
        assert response.json()["key"] is None


@pytest.mark.parametrize("path", ["/v1/echo", "/v1/echo/", "/v1/echo//"])
async def test_a_path_answers_with_and_without_its_slash_and_never_redirects(path: str) -> None:
    async with calling() as client:
        assert (await client.post(path)).status_code == 200


async def test_head_is_get_without_a_body() -> None:
    async with calling() as client:
        response = await client.head("/v1/echo")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def test_a_body_over_the_limit_is_refused_with_and_without_a_length() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"0123456789"

    async with calling(max_body_bytes=100) as client:
        assert (await client.post("/v1/echo", content=b"x" * 100)).json()["size"] == 100
        assert (await client.post("/v1/echo", content=b"x" * 101)).status_code == 413
        response = await client.post("/v1/echo", content=chunks())
        assert response.status_code == 413
        assert "REVERIE_MAX_BODY_BYTES" in response.json()["detail"]
    async with calling(max_body_bytes=110) as client:
        assert (await client.post("/v1/echo", content=chunks())).json()["size"] == 110


async def test_what_breaks_inside_is_told_by_its_id_only() -> None:
    async with calling() as client:
        response = await client.get("/v1/broken")
    assert response.status_code == 500
    assert response.json()["error_id"] in response.json()["detail"]
    assert "1234" not in response.text

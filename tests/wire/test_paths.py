"""Both spellings of every path, HEAD, and what browsers ask before they call: over all routes."""

import re
from collections.abc import Iterator

import httpx
import pytest
from tests.support.provider import Provider
from tests.support.server import Server, provider_environment, running_server

from reverie.api.describe import described_routes

pytestmark = pytest.mark.one_database("sqlite")

PAGE = "https://app.example"


@pytest.fixture
def quiet_server(provider: Provider) -> Iterator[Server]:
    """A server over SQLite: what is asked here never reaches the database's own ways."""
    with running_server(None, {**provider_environment(provider), "REVERIE_ALLOWED_ORIGINS": PAGE}) as server:
        yield server


def routes() -> Iterator[tuple[str, str]]:
    for route in described_routes():
        path = re.sub(r"\{(\w+)(:path)?\}", r"no-such-\1", route.path)
        for method in sorted(route.methods or ()):
            yield method, path


def test_every_path_answers_with_and_without_its_slash_and_never_redirects(quiet_server: Server) -> None:
    with quiet_server.http as http:
        for method, path in routes():
            plain, slashed = (http.request(method, spelled) for spelled in (path, f"{path}/"))
            assert plain.status_code == slashed.status_code, (method, path, plain.text, slashed.text)
            assert not 300 <= plain.status_code < 400, (method, path)
            assert plain.status_code != 405, (method, path)


def test_every_path_that_can_be_read_takes_head(quiet_server: Server) -> None:
    with quiet_server.http as http:
        for method, path in routes():
            if method == "GET":
                read, head = http.get(path), http.head(path)
                assert (head.status_code, head.content) == (read.status_code, b""), path
                assert head.headers["content-type"] == read.headers["content-type"], path


def test_pages_that_may_call_are_told_so_on_every_path(quiet_server: Server) -> None:
    with quiet_server.http as http:
        for method, path in routes():
            ask = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,x-project"}
            allowed = http.options(path, headers={**ask, "Origin": PAGE})
            assert allowed.status_code == 204, (method, path)
            assert allowed.headers["access-control-allow-origin"] == PAGE
            assert method in allowed.headers["access-control-allow-methods"]
            assert "x-project" in allowed.headers["access-control-allow-headers"]
            refused = http.options(path, headers={**ask, "Origin": "https://evil.example"})
            assert refused.status_code == 403, (method, path)
        answer = http.get("/v1/agents/", headers={"Origin": PAGE})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)


def test_the_client_of_a_page_sees_why_it_was_refused(quiet_server: Server) -> None:
    answer = httpx.get(f"{quiet_server.url}/v1/agents/no-such-agent", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (422, PAGE)

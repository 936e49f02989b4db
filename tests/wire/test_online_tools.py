"""The built-in tools that act outside: web search, pages, and code in the sandbox."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from letta_client import Letta
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent

pytestmark = pytest.mark.one_database("sqlite")

STORY = "The otter swam across the wide river at dawn and found its den dry. " * 8
PAGE = f"""<html><head><title>Otters</title></head><body><nav><a href="/x">Home</a> <a href="/y">Shop</a></nav>
<article><h1>On otters</h1><p>{STORY}</p><p>More at <a href="https://otters.example/more">this place</a>. {STORY}</p>
</article><footer>Cookies</footer></body></html>"""


class Web(BaseHTTPRequestHandler):
    """Plays a site, Exa, Tavily and SearXNG; keeps what it was asked."""

    asked: list[tuple[str, dict[str, str], Any]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        match parts.path:
            case "/page":
                self._answer(200, "text/html; charset=utf-8", PAGE.encode())
            case "/notes.txt":
                self._answer(200, "text/plain; charset=latin-1", "Grüße".encode("latin-1"))
            case "/film":
                self._answer(200, "video/mp4", b"\0")
            case "/inside":
                self.send_response(302)
                self.send_header("Location", "http://169.254.169.254/latest/meta-data")
                self.send_header("Content-Length", "0")
                self.end_headers()
            case "/search":
                self.asked.append(("searxng", dict(self.headers), parse_qs(parts.query)))
                self._results({"title": "Otters", "url": "https://o.example", "content": "swim", "publishedDate": None})
            case _:
                self._answer(404, "text/plain", b"gone")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        who = self.path.split("/")[1]
        self.asked.append((who, {name.lower(): value for name, value in self.headers.items()}, body))
        if body["query"] == "broken":
            self._answer(429, "application/json", b'{"error": "slow down"}')
        elif who == "exa":
            self._results({"title": "Otters", "url": "https://o.example", "summary": "swim", "highlights": ["dens"]})
        else:
            self._results({"title": "Otters", "url": "https://o.example", "content": "swim", "raw_content": "all"})

    def _results(self, item: dict[str, Any]) -> None:
        self._answer(200, "application/json", json.dumps({"results": [item]}).encode())

    def _answer(self, status: int, media_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    Web.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _agent(client: Letta, *names: str, **more: Any) -> str:
    return bare_agent(client, tools=list(names), **more).id


def _run(client: Letta, agent_id: str, name: str, **args: Any) -> tuple[str, Any]:
    done = client.agents.tools.run(name, agent_id=agent_id, args=args)
    return done.status, done.func_return if done.status == "success" else "\n".join(done.stderr or [])


def test_a_page_is_read_in_a_turn_without_its_menus(client: Letta, provider: Provider, site: str) -> None:
    agent_id = _agent(client, "fetch_webpage")
    assert [tool.tool_type for tool in client.agents.tools.list(agent_id)] == ["letta_builtin"]
    provider.script(call("fetch_webpage", url=f"{site}/page"), say("about otters"))
    answer = client.agents.messages.create(agent_id, input="read it")
    (result,) = (item for item in answer.messages if item.message_type == "tool_return_message")
    text = str(result.tool_return)
    assert "swam across the wide river" in text
    assert "https://otters.example/more" in text
    assert "Cookies" not in text
    assert _run(client, agent_id, "fetch_webpage", url=f"{site}/notes.txt") == ("success", "Grüße")


def test_what_cannot_be_read_is_an_error_that_says_why(client: Letta, site: str) -> None:
    agent_id = _agent(client, "fetch_webpage")
    for url, words in (
        (f"{site}/gone", "status 404"),
        (f"{site}/film", "video/mp4"),
        (f"{site}/inside", "metadata"),
        ("http://169.254.169.254/latest", "metadata"),
        ("file:///etc/passwd", "only http and https"),
    ):
        status, said = _run(client, agent_id, "fetch_webpage", url=url)
        assert (status, words in said) == ("error", True), said


def test_search_without_a_key_says_what_is_missing(client: Letta) -> None:
    status, said = _run(client, _agent(client, "web_search"), "web_search", query="otters")
    assert status == "error"
    assert all(word in said for word in ("EXA_API_KEY", "TAVILY_API_KEY", "REVERIE_SEARXNG_URL"))


def test_search_asks_what_is_set_up_and_private_pages_stay_closed(start_server: StartServer, site: str) -> None:
    client = start_server(
        REVERIE_ALLOW_PRIVATE_ADDRESSES="false",
        REVERIE_SEARXNG_URL=site,
        REVERIE_EXA_URL=f"{site}/exa",
        REVERIE_TAVILY_URL=f"{site}/tavily",
    ).client
    agent_id = _agent(client, "fetch_webpage", "web_search")
    status, said = _run(client, agent_id, "fetch_webpage", url=f"{site}/page")
    assert (status, "private network" in said) == ("error", True), said
    # The addresses of searches come from the settings, not from a user.
    status, found = _run(client, agent_id, "web_search", query="otters", include_domains=["a.example"])
    assert (status, found["results"][0]["url"]) == ("success", "https://o.example")
    assert Web.asked[-1][2]["q"] == ["otters (site:a.example)"]
    status, said = _run(client, agent_id, "web_search", query="x", num_results=1000)
    assert (status, "num_results" in said) == ("error", True)

    exa = _agent(client, "web_search", secrets={"EXA_API_KEY": "mine", "TAVILY_API_KEY": "second"})
    status, found = _run(client, exa, "web_search", query="otters", num_results=3, category="news")
    wanted = [{"title": "Otters", "url": "https://o.example", "summary": "swim", "highlights": ["dens"]}]
    assert (status, found["results"]) == ("success", wanted)
    who, headers, body = Web.asked[-1]
    assert (who, headers["x-api-key"], body["numResults"], body["category"]) == ("exa", "mine", 3, "news")
    status, said = _run(client, exa, "web_search", query="broken")
    assert (status, "status 429" in said, "slow down" in said, "mine" in said) == ("error", True, True, False)

    tavily = _agent(client, "web_search", secrets={"TAVILY_API_KEY": "second"})
    status, found = _run(client, tavily, "web_search", query="otters", include_text=True)
    assert (status, found["results"][0]["text"]) == ("success", "all")
    assert (Web.asked[-1][0], Web.asked[-1][1]["authorization"]) == ("tavily", "Bearer second")


def test_code_runs_in_the_sandbox_and_shows_value_output_and_error(server: Server, client: Letta) -> None:
    agent_id = _agent(client, "run_code")

    def ran(code: str, language: str = "python") -> tuple[str, dict[str, str]]:
        status, said = _run(client, agent_id, "run_code", code=code, language=language)
        if status == "error":
            return status, {"error": said}
        return status, json.loads(said) if isinstance(said, str) else said

    status, shown = ran("print('hi')\nx = 20\nx + 22")
    assert (status, shown["results"], shown["stdout"].strip()) == ("success", "42", "hi")
    status, shown = ran("1 / 0")
    assert (status, "ZeroDivisionError" in shown["error"]) == ("error", True)
    status, shown = ran("import os; sorted(os.environ)")
    assert "OPENAI_API_KEY" not in shown["results"]
    status, said = _run(client, agent_id, "run_code", code="1", language="cobol")
    assert (status, "language" in said) == ("error", True)
    status, shown = ran("const x: number = 41; console.log(await Promise.resolve(x + 1));", "ts")
    if "Deno is not installed" not in shown.get("error", ""):
        assert (status, shown.get("stdout", "").strip()) == ("success", "42"), shown
        status, shown = ran("throw new TypeError('no')", "js")
        assert (status, "TypeError: no" in shown["error"]) == ("error", True)

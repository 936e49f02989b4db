"""Requests made up from the server's own OpenAPI page: what it answers is what the page says.

Half of the ids name things that are there, so that requests reach beyond "no such agent". Well-formed requests go to
PostgreSQL, the stricter of the two about what it takes; malformed ones, which no database should ever see, to SQLite.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from letta_client import Letta
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from tests.support.provider import Provider
from tests.support.replies import say
from tests.support.server import Server
from tests.wire.samples import bare_agent, echo_source

from reverie.api.routes import ALL_ROUTES

EXAMPLES = {
    "postgresql": (GenerationMode.POSITIVE, int(os.environ.get("EXAMPLES", 4))),
    "sqlite": (GenerationMode.NEGATIVE, int(os.environ.get("EXAMPLES", 1))),
}
"""Requests for each operation: few for the sake of time, and the same in every run; `EXAMPLES=100` makes more."""
TAGS = sorted({routes.tag for routes in ALL_ROUTES})
UNWANTED = ("callback_url",)
"""Fields that would make the server call hosts of made-up names."""
load_all_checks()
CHECKED = CHECKS.get_by_names(["status_code_conformance", "content_type_conformance", "response_schema_conformance"])
OUTSIDE = (502, 504)
"""What may be answered, where it is documented, about the made-up hosts of a request."""


@pytest.fixture(scope="module")
def page(_server: Server) -> Any:
    """The page of a real server."""
    config = SchemathesisConfig(seed=1)
    # The first to ask waits until it is made, on a busy machine for longer than the library would.
    httpx.get(f"{_server.url}/openapi.json", timeout=120).raise_for_status()
    return schemathesis.openapi.from_url(f"{_server.url}/openapi.json", config=config)


class Household:
    """Things that are there, made when an operation first needs them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client: Letta = server.client
        self._made: dict[str, str] = {}

    def one(self, name: str) -> str | None:
        """What the path parameter can name; None where nothing of the kind can be made."""
        if name not in self._made:
            make = getattr(self, f"_{name}", None)
            if make is None:
                return None
            self._made[name] = str(make())
        return self._made[name]

    def _agent_id(self) -> str:
        blocks = [{"label": "human", "value": "Ada"}]
        return bare_agent(self._client, memory_blocks=blocks, include_base_tools=True).id

    def _block_id(self) -> str:
        return self._client.blocks.create(label="plan", value="none").id

    def _block_label(self) -> str:
        return "human"

    def _tool_id(self) -> str:
        return self._client.tools.upsert(source_code=echo_source("echo_of_openapi")).id

    def _tool_name(self) -> str:
        return "memory_insert"

    def _archive_id(self) -> str:
        return self._client.archives.create(name="letters").id

    def _passage_id(self) -> str:
        return str(self._client.archives.passages.create(str(self.one("archive_id")), text="a letter").id)

    def _memory_id(self) -> str:
        made = self._client.agents.passages.create(str(self.one("agent_id")), text="a memory")
        return str(made[0].id)

    def _conversation_id(self) -> str:
        return self._client.conversations.create(agent_id=str(self.one("agent_id"))).id

    def _run_id(self) -> str:
        reply = self._client.agents.messages.create(str(self.one("agent_id")), input="Hi")
        return str((reply.usage.run_ids or [""])[0])

    def _step_id(self) -> str:
        return self._client.runs.steps.list(str(self.one("run_id"))).items[0].id

    def _message_id(self) -> str:
        self.one("run_id")
        return self._client.agents.messages.list(str(self.one("agent_id"))).items[0].id

    def _identity_id(self) -> str:
        with self._server.http as http:
            body = {"identifier_key": self.one("agent_id"), "name": "Ada", "identity_type": "user"}
            return str(http.post("/v1/identities", json=body).json()["id"])


@pytest.mark.parametrize("tag", TAGS)
def test_what_the_server_answers_is_what_its_page_says(
    server: Server, page: Any, provider: Provider, database: str, tag: str
) -> None:
    provider.default = say("Fine.")
    mode, examples = EXAMPLES[database]
    operations = [found.ok() for found in page.include(tag=tag).get_all_operations()]
    faults = [fault for operation in operations for fault in faults_of(operation, server, mode, examples)]
    assert operations
    assert not faults, "\n\n".join(faults)


def faults_of(operation: Any, server: Server, mode: GenerationMode, examples: int) -> Iterator[str]:
    """What made-up requests find wrong with an operation."""
    household = Household(server)

    def probe(case: Any, known: bool) -> None:
        if known:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = household.one(name) or case.path_parameters[name]
        if isinstance(case.body, dict):
            case.body = {name: value for name, value in case.body.items() if name not in UNWANTED}
        answer = case.call_and_validate(base_url=server.url, checks=CHECKED, timeout=60)
        assert answer.status_code < 500 or answer.status_code in OUTSIDE, f"{case.as_curl_command()}: {answer.text}"

    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return
    made_up = given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    run: Callable[[], None] = quick(examples)(made_up(probe))
    try:
        run()
    except Unsatisfiable:
        return  # nothing in it can be malformed: all words are names
    except (Exception, BaseExceptionGroup) as fault:  # noqa: BLE001  # told with the operation's name
        yield f"{operation.label} ({mode.value}): {fault}"


def quick(examples: int) -> Any:
    """The same requests in every run, and no search for a smaller one."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

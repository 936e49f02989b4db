"""Which operations the wire tests really drove, and with which client.

Every process of a test session notes what it was answered; the last one to end compares the notes
with the routes. A pytest plugin: `tests/conftest.py` hands its hooks on.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from letta_client import _base_client as sdk_client

from tests.support.app import our_routes
from tests.support.sdk import NEWEST, sdk_operations

FOLDER = "DRIVEN_ROUTES"
"""Names the folder of notes to every process of the session, those of node too."""
TESTS = "tests/wire/"
Answer = httpx.Response | httpx2.Response
PYTHON, TYPESCRIPT, PLAIN = "python", "typescript", "plain"

NOT_DRIVEN = {
    ("POST", "/v1/sandbox-config/e2b/default"): "always refused: there is no such sandbox here",
}
"""Routes that no wire test drives, with the reason."""


@dataclass(frozen=True, slots=True)
class Note:
    """One answer that a client could read."""

    client: str
    """`python` is the SDK with strict validation of answers; `plain` is any other HTTP client."""
    verb: str
    path: str


class Notes:
    """What this process was answered."""

    def __init__(self) -> None:
        self.taken: set[Note] = set()

    def take(self, client: str, answer: Answer) -> None:
        """Note an answer that was no error, in a wire test."""
        running = os.environ.get("PYTEST_CURRENT_TEST", "")
        if running.startswith(TESTS) and answer.is_success:
            path = answer.request.url.raw_path.decode().partition("?")[0]
            self.taken.add(Note(client, answer.request.method, path))

    def write(self, name: str) -> None:
        """Leave the notes for the process that compares."""
        lines = [json.dumps(asdict(note)) for note in sorted(self.taken, key=str)]
        (Path(os.environ[FOLDER]) / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def watch(self) -> None:
        """Look over the shoulder of every client in this process."""
        for cls in (httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient):
            _wrap_send(cls, self)
        for base in (sdk_client.SyncAPIClient, sdk_client.AsyncAPIClient):
            _wrap_reading(base, self)


def _wrap_send(cls: Any, notes: Notes) -> None:
    send = cls.send

    def take(answer: Answer) -> Answer:
        if not answer.request.headers.get("user-agent", "").startswith(("Letta/", "AsyncLetta/")):
            notes.take(PLAIN, answer)
        return answer

    def sync_send(self: Any, *given: Any, **named: Any) -> Answer:
        return take(send(self, *given, **named))

    async def async_send(self: Any, *given: Any, **named: Any) -> Answer:
        return take(await send(self, *given, **named))

    cls.send = async_send if issubclass(cls, httpx.AsyncClient | httpx2.AsyncClient) else sync_send


def _wrap_reading(cls: Any, notes: Notes) -> None:
    """The place where the SDK has turned an answer into its types."""
    read = cls._process_response

    def take(client: Any, response: httpx.Response) -> None:
        if client._strict_response_validation:
            notes.take(PYTHON, response)

    def sync_read(self: Any, *, response: httpx.Response, **named: Any) -> Any:
        found = read(self, response=response, **named)
        take(self, response)
        return found

    async def async_read(self: Any, *, response: httpx.Response, **named: Any) -> Any:
        found = await read(self, response=response, **named)
        take(self, response)
        return found

    cls._process_response = async_read if cls is sdk_client.AsyncAPIClient else sync_read


def read_notes(folder: Path) -> set[Note]:
    """What all processes noted."""
    lines = [line for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return {Note(**json.loads(line)) for line in lines}


def undriven(notes: Iterable[Note]) -> Iterator[str]:
    """Routes that no test drove as it must: the SDK's own through the SDK, the rest through anything."""
    driven: dict[tuple[str, str], set[str]] = {}
    for note in notes:
        key = route_of(note)
        if key is not None:
            driven.setdefault(key, set()).add(note.client)
    named = {operation.route: operation.name for operation in sdk_operations(NEWEST)}
    for key, route in our_routes().items():
        clients = driven.get(key, set())
        if (route.verb, route.path) in NOT_DRIVEN:
            if clients:
                yield f"{route.verb} {route.path} is driven; take it out of NOT_DRIVEN"
        elif key in named and PYTHON not in clients:
            yield f"{route.verb} {route.path}: no test drives it through the Python SDK ({named[key]})"
        elif not clients:
            yield f"{route.verb} {route.path}: no test drives it"


def untouched_by_typescript(notes: Iterable[Note]) -> Iterator[str]:
    """Resources of the SDK of which the TypeScript tests drive no operation."""
    driven = {route_of(note) for note in notes if note.client == TYPESCRIPT}
    resources: dict[str, set[tuple[str, str]]] = {}
    for operation in sdk_operations(NEWEST):
        if operation.route in our_routes():
            resources.setdefault(operation.resource, set()).add(operation.route)
    for resource, routes in sorted(resources.items()):
        if not routes & driven:
            yield f"{resource or 'the client itself'}: no TypeScript test drives an operation of it"


def route_of(note: Note) -> tuple[str, str] | None:
    """The route that answered, by its key; None for paths that are not the API's."""
    path = note.path.rstrip("/")
    for key, route in our_routes().items():
        if route.verb == note.verb and route.route.path_regex.match(path):
            return key
    return None


class Plugin:
    """Takes notes in every process, and compares them at the end of a whole run."""

    def __init__(self, config: pytest.Config) -> None:
        self._notes = Notes()
        self._worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        if self._worker is None:
            os.environ[FOLDER] = tempfile.mkdtemp(prefix="reverie-driven-")
        self._faults: list[str] = []
        self._said = ""
        self._notes.watch()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Leave the notes; in the process that started the others, compare."""
        self._notes.write("main" if self._worker is None else str(self._worker["workerid"]))
        if self._worker is not None:
            return
        folder = Path(os.environ[FOLDER])
        notes = read_notes(folder)
        shutil.rmtree(folder)
        if not is_whole(session.config):
            return
        self._faults = list(undriven(notes))
        if shutil.which("node"):
            self._faults += untouched_by_typescript(notes)
        self._said = f"{len(our_routes())} routes, each driven by a test"
        if self._faults and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was found, in a run of everything."""
        if self._faults:
            terminalreporter.section("operations that no test drives", red=True)
            for fault in self._faults:
                terminalreporter.write_line(fault)
        elif self._said:
            terminalreporter.write_line(self._said)


def is_whole(config: pytest.Config) -> bool:
    """Whether everything was asked for; a part cannot drive every route."""
    option = config.option
    narrowed = any(
        getattr(option, name, None) for name in ("keyword", "markexpr", "lf", "deselect", "maxfail", "collectonly")
    )
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not narrowed

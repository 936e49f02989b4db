"""What all tests share: both databases, a scripted provider, a real server process."""

from collections.abc import Iterator

import pytest
from letta_client import Letta

from tests.support import certificates
from tests.support.databases import database_urls
from tests.support.driven import Plugin
from tests.support.provider import Provider
from tests.support.server import Server, provider_environment, running_server

MODEL = "openai/gpt-4o-mini"


def pytest_configure(config: pytest.Config) -> None:
    """Note which operations the wire tests drive, and read the certificates once."""
    certificates.read_once()
    config.pluginmanager.register(Plugin(config), "driven")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other database of tests that need no more than one."""
    out = [item for item in items if _is_on_the_other_database(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def _is_on_the_other_database(item: pytest.Item) -> bool:
    marker, chosen = item.get_closest_marker("one_database"), getattr(item, "callspec", None)
    return marker is not None and chosen is not None and chosen.params.get("database", marker.args[0]) != marker.args[0]


@pytest.fixture(scope="session")
def _provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def provider(_provider: Provider) -> Iterator[Provider]:
    """Plays every model provider; its script and its memory are empty at the start of each test."""
    _provider.reset()
    yield _provider
    _provider.reset()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Name of the database that the test runs on."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def _server(_provider: Provider, database: str) -> Iterator[Server]:
    with database_urls(database) as url, running_server(url, provider_environment(_provider), cold=True) as server:
        yield server


@pytest.fixture
def server(_server: Server, provider: Provider) -> Server:
    """A server shared by tests; each makes agents of its own."""
    return _server


@pytest.fixture
def client(server: Server) -> Letta:
    """The Python SDK, talking to `server`."""
    return server.client


@pytest.fixture
def own_server(provider: Provider, database: str) -> Iterator[Server]:
    """A server for this test alone, which may kill it."""
    with database_urls(database) as url, running_server(url, provider_environment(provider)) as server:
        yield server

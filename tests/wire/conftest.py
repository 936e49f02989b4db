"""Servers with settings of their own."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.support.databases import database_urls
from tests.support.provider import Provider
from tests.support.server import Server, provider_environment, running_server

StartServer = Callable[..., Server]


@pytest.fixture
def start_server(provider: Provider, database: str) -> Iterator[StartServer]:
    """Starts servers with given arguments and environment; ends them with the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Server:
            url = stack.enter_context(database_urls(database))
            whole = {**provider_environment(provider), **environment}
            return stack.enter_context(running_server(url, whole, *arguments))

        yield start


@pytest.fixture
def own_ping_server(start_server: StartServer) -> Server:
    """A server that sends pings quickly."""
    return start_server(REVERIE_PING_INTERVAL_S="0.05")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server logged last beside a failure."""
    report = yield
    arguments: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed:
        for name in ("server", "own_server", "_server"):
            if name in arguments:
                report.sections.append((f"log of {name}", arguments[name].log[-3000:]))
                break
    return report

"""What several wire tests make and look at."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
from letta_client import Letta
from letta_client.types import AgentState
from tests.conftest import MODEL
from tests.support.databases import run_apart
from tests.support.server import Server

ANTHROPIC_MODEL = "anthropic/claude-sonnet-4-5"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

ECHO = '''
def {name}(text: str) -> str:
    """Say it back.

    Args:
        text: what to say
    """
    return f"echo: {{text}}"
'''


def echo_source(name: str = "echo") -> str:
    """Source of a tool that says its argument back."""
    return ECHO.format(name=name)


def new_agent(client: Letta, **more: Any) -> AgentState:
    """An agent with two blocks."""
    defaults: dict[str, Any] = {
        "model": MODEL,
        "memory_blocks": [
            {"label": "human", "value": "Name: unknown"},
            {"label": "persona", "value": "I am a helpful friend."},
        ],
    }
    state: AgentState = client.agents.create(**{**defaults, **more})
    return state


def bare_agent(client: Letta, **more: Any) -> AgentState:
    """An agent with nothing but a model."""
    return new_agent(client, **{"memory_blocks": [], "include_base_tools": False, **more})


def kinds(messages: Iterable[Any]) -> list[str]:
    """Message types in order."""
    return [message.message_type for message in messages]


def stored_bytes(server: Server) -> Iterator[bytes]:
    """All that the server wrote: its data directory, and its database as it is stored."""
    folders = [server.data_dir]
    url = server.database_url or ""
    if url.startswith("sqlite:///"):
        folders.append(Path(url.removeprefix("sqlite:///")).parent)
    else:
        yield from run_apart(_rows(url))
    for folder in folders:
        yield from _files(folder)


def _files(folder: Path) -> Iterator[bytes]:
    for place, _, names in os.walk(folder):  # walks past what a running server renames meanwhile, as rglob does not
        for file in (Path(place, name) for name in names):
            with suppress(FileNotFoundError):
                if file.is_file():
                    yield file.read_bytes()


async def _rows(url: str) -> list[bytes]:
    connection = await asyncpg.connect(url)
    try:
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [await connection.fetch(f'SELECT t::text FROM "{row[0]}" t') for row in names]
        return [str(row[0]).encode() for rows in tables for row in rows]
    finally:
        await connection.close()

"""`reverie keys`: make, list and end API keys. Works beside a running server, and without one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.console import Console
from rich.markup import escape

from reverie.auth.keys import LOCAL_CALLER, KeyRecord, Scope
from reverie.auth.secrets import load_secrets
from reverie.cli.serve import prepare_data_dir
from reverie.config import Settings
from reverie.domain.clock import Clock, utc_now
from reverie.domain.paging import Page
from reverie.operations import keys
from reverie.storage.database import Database
from reverie.storage.migrate import bring_up_to_date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    database: Database
    clock: Clock = utc_now


def create(settings: Settings, *, name: str, scope: Scope, days: float | None) -> int:
    """Make a key and print it: alone on stdout, so that a script can take it."""
    made = asyncio.run(_create(settings, name, scope, days))
    Console(stderr=True, highlight=False).print(
        f"Key [bold]{escape(name)}[/bold] ({made.record.id}), shown only now:", soft_wrap=True
    )
    print(made.token)
    return 0


def show(settings: Settings) -> int:
    """List all keys, ended ones included; never their text."""
    records = asyncio.run(_list(settings))
    now = utc_now()
    for record in records:
        scopes = ", ".join(sorted(record.scopes))
        # Not a table: its columns would break an id to fit the terminal, and ids are there to be copied.
        made, state = _day(record.created_at), _state(record, now)
        print(f"{record.id}  …{record.hint}  {scopes:<5}  made {made}  {state}  {record.name}")
    if not records:
        print("There are no keys; make one with `reverie keys create`.")
    return 0


def revoke(settings: Settings, *, key_id: str) -> int:
    """End a key at once and for good."""
    record = asyncio.run(_revoke(settings, key_id))
    print(f"Key {record.id} ({record.name}) opens nothing any more.")
    return 0


@contextlib.asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_Parts]:
    prepare_data_dir(settings.data_dir)
    options = settings.database_options()
    await bring_up_to_date(options)
    database = Database(options)
    try:
        yield _Parts(database=database)
    finally:
        await database.close()


async def _create(settings: Settings, name: str, scope: Scope, days: float | None) -> keys.MadeKey:
    async with _open(settings) as parts:
        hasher = load_secrets(settings.data_dir, settings.encryption_key).hasher
        expires_at = parts.clock() + timedelta(days=days) if days is not None else None
        return await keys.create(parts, LOCAL_CALLER, hasher, name, frozenset({scope}), expires_at)


async def _list(settings: Settings) -> list[KeyRecord]:
    async with _open(settings) as parts:
        return await keys.list_keys(parts, LOCAL_CALLER, Page(limit=None))


async def _revoke(settings: Settings, key_id: str) -> KeyRecord:
    async with _open(settings) as parts:
        return await keys.revoke(parts, LOCAL_CALLER, key_id)


def _state(record: KeyRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is None:
        return "open"
    return f"open until {_day(record.expires_at)}" if record.is_live(now) else f"expired {_day(record.expires_at)}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"

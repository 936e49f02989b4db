"""`reverie keys`: make, list and end API keys. Works beside a running server, and without one."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.markup import escape

from reverie.auth.keys import USUAL_SCOPES, KeyRecord, Scope
from reverie.auth.secrets import load_secrets
from reverie.cli.serve import prepare_data_dir
from reverie.config import Settings
from reverie.domain.clock import Clock, utc_now
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.ids import DEFAULT_ORGANIZATION_NAME
from reverie.domain.organization import Organization
from reverie.domain.paging import Page
from reverie.operations import keys, organizations
from reverie.operations.organizations import operator_of
from reverie.storage.database import Database
from reverie.storage.migrate import bring_up_to_date

_SPAN: Final = re.compile(r"^(\d+)\s*([hdw])$")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    database: Database
    clock: Clock = utc_now


def create(
    settings: Settings, *, name: str, organization: str | None, scopes: list[Scope] | None, expires: str | None
) -> int:
    """Make a key and print it: alone on stdout, so that a script can take it."""
    held = frozenset(scopes) if scopes else USUAL_SCOPES
    end = None if expires is None else end_of(expires, utc_now())
    owner, made = asyncio.run(_create(settings, name, organization or DEFAULT_ORGANIZATION_NAME, held, end))
    until = "" if end is None else f", open until {end:%Y-%m-%d %H:%M} UTC"
    Console(stderr=True, highlight=False).print(
        f"Key [bold]{escape(name)}[/bold] ({made.record.id}) of {escape(owner.name)}, "
        f"scopes {_scopes(made.record)}{until}, shown only now:",
        soft_wrap=True,
    )
    print(made.token)
    return 0


def show(settings: Settings, *, organization: str | None) -> int:
    """List all keys, ended ones included; never their text."""
    found = asyncio.run(_list(settings, organization))
    now = utc_now()
    for owner, record in found:
        # Not a table: its columns would break an id to fit the terminal, and ids are there to be copied.
        made, state = _day(record.created_at), _state(record, now)
        print(f"{record.id}  …{record.hint}  {owner.name}  {_scopes(record)}  made {made}  {state}  {record.name}")
    if not found:
        print("There are no keys; make one with `reverie keys create`.")
    return 0


def revoke(settings: Settings, *, key_id: str) -> int:
    """End a key at once and for good."""
    record = asyncio.run(_revoke(settings, key_id))
    print(f"Key {record.id} ({record.name}) opens nothing any more.")
    return 0


def callback_secret(settings: Settings, *, organization: str | None) -> int:
    """Print what receivers of an organisation's callbacks check their signatures with."""
    print(asyncio.run(_callback_secret(settings, organization or DEFAULT_ORGANIZATION_NAME)))
    return 0


def end_of(text: str, now: datetime) -> datetime:
    """When a key ends that shall last for `text`: a span such as `30d`, or a date, to its end in UTC.

    Raises:
        InvalidInput: it is neither, or has passed.
    """
    span = _SPAN.match(text.strip().lower())
    try:
        if span is not None:
            return now + int(span[1]) * _UNITS[span[2]]
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"--expires is {text!r}; give a span such as 12h, 30d or 8w, or a date such as 2027-01-31"
        ) from None
    if len(text.strip()) <= len("2027-01-31"):  # a day without a time counts whole
        moment += timedelta(days=1)
    end = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if end <= now:
        raise InvalidInput(f"--expires is {text!r}, which has passed; give a time to come")
    return end


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


async def _create(
    settings: Settings, name: str, organization: str, scopes: frozenset[Scope], expires_at: datetime | None
) -> tuple[Organization, keys.MadeKey]:
    async with _open(settings) as parts:
        hasher = load_secrets(settings.data_dir, settings.encryption_key).hasher
        owner = await organizations.named(parts, organization)
        return owner, await keys.create(parts, operator_of(owner), hasher, name, scopes, expires_at)


async def _list(settings: Settings, organization: str | None) -> list[tuple[Organization, KeyRecord]]:
    async with _open(settings) as parts:
        if organization is None:
            owners = await organizations.list_organizations(parts)
        else:
            owners = [await organizations.find(parts, organization)]
        return [
            (owner, record)
            for owner in owners
            for record in await keys.list_keys(parts, operator_of(owner), Page(limit=None))
        ]


async def _callback_secret(settings: Settings, organization: str) -> str:
    async with _open(settings) as parts:
        owner = await organizations.find(parts, organization)
        return load_secrets(settings.data_dir, settings.encryption_key).signer.secret(owner.id)


async def _revoke(settings: Settings, key_id: str) -> KeyRecord:
    async with _open(settings) as parts:
        for owner in await organizations.list_organizations(parts):
            with contextlib.suppress(NotFound):
                return await keys.revoke(parts, operator_of(owner), key_id)
        raise NotFound("key", key_id, "`reverie keys list` shows those there are")


def _scopes(record: KeyRecord) -> str:
    return ",".join(scope for scope in Scope if scope in record.scopes)


def _state(record: KeyRecord, now: datetime) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is None:
        return "open"
    return f"open until {_day(record.expires_at)}" if record.is_live(now) else f"expired {_day(record.expires_at)}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"

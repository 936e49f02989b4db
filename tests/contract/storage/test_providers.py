"""Whose providers are whose, on both databases, with the real catalogs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from math import inf

import pytest

from reverie.auth.cipher import Cipher
from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import Conflict, InvalidInput, ModelError, NotAllowed, NotFound
from reverie.domain.ids import OrganizationId, UserId
from reverie.domain.paging import Page
from reverie.domain.provider import Credentials, ProviderDraft
from reverie.models.base import ModelOptions, Prompt
from reverie.models.catalog import Catalog
from reverie.models.catalogs import Catalogs
from reverie.operations import models, providers
from reverie.operations.base import Operations
from reverie.runs.bells import Bells
from reverie.web.addresses import WebOptions
from tests.support.provider import Provider, ServedModel

STRANGER = Caller(
    organization_id=OrganizationId("org-other"), user_id=UserId("user-other"), scopes=frozenset(Scope), key_id=None
)


@pytest.fixture
def vendor() -> Iterator[Provider]:
    with Provider(models=(ServedModel(name="big"),)) as provider:
        yield provider


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving(
    ops: Operations, *, clock: Clock | None = None, fresh_s: float = inf, guarded: bool = False
) -> AsyncIterator[Operations]:
    """`ops` with catalogs of its own, as a process of its own has them."""
    options = ModelOptions()
    configured = Catalog(options)
    catalogs = Catalogs(
        configured,
        options,
        partial(providers.load_own, ops.database, ops.cipher),
        web=WebOptions(allow_private=not guarded),
        fresh_s=fresh_s,
        clock=clock or Clock(),
    )
    try:
        yield replace(ops, catalogs=catalogs)
    finally:
        await catalogs.aclose()
        await configured.aclose()


def draft(vendor: Provider, name: str = "mine") -> ProviderDraft:
    return ProviderDraft(
        name=name,
        provider_type="openai",
        credentials=Credentials(api_key="secret", base_url=vendor.openai_url),
    )


async def handles(ops: Operations, caller: Caller) -> list[str]:
    return [model.handle for model in await models.list_models(ops, caller)]


async def test_nobody_sees_or_uses_what_another_organisation_added(ops: Operations, vendor: Provider) -> None:
    async with serving(ops) as ops:
        made = await providers.create(ops, ME, draft(vendor))
        assert await handles(ops, ME) == ["mine/big"]
        assert await handles(ops, STRANGER) == []
        assert await providers.list_providers(ops, STRANGER, Page()) == []
        with pytest.raises(NotFound):
            await (await ops.catalogs.of(STRANGER.organization_id)).chat_model("mine/big")
        for attempt in (
            providers.retrieve(ops, STRANGER, made.id),
            providers.update(ops, STRANGER, made.id, Credentials(api_key="x")),
            providers.delete(ops, STRANGER, made.id),
            providers.refresh(ops, STRANGER, made.id),
            providers.check_existing(ops, STRANGER, made.id),
        ):
            with pytest.raises(NotFound):
                await attempt
        theirs = await providers.create(ops, STRANGER, draft(vendor))
        await providers.delete(ops, ME, made.id)
        assert await handles(ops, ME) == []
        assert await handles(ops, STRANGER) == ["mine/big"]
        assert [item.id for item in await providers.list_providers(ops, STRANGER, Page())] == [theirs.id]


async def test_another_process_sees_a_fresh_provider_at_once_and_a_change_soon(
    ops: Operations, vendor: Provider
) -> None:
    clock = Clock()
    async with serving(ops) as here, serving(ops, clock=clock, fresh_s=5.0) as there:
        catalog = await there.catalogs.of(ME.organization_id)
        made = await providers.create(here, ME, draft(vendor))
        clock.now = 1.0
        assert (await catalog.chat_model("mine/big")).info.category == "byok"
        await providers.delete(here, ME, made.id)
        clock.now = 7.0
        with pytest.raises(NotFound):
            await (await there.catalogs.of(ME.organization_id)).chat_model("mine/big")


async def test_what_is_heard_to_stand_is_believed_for_a_while(ops: Operations, vendor: Provider) -> None:
    clock = Clock()
    async with serving(ops) as here, serving(ops, clock=clock, fresh_s=5.0) as there:
        catalogs = there.catalogs
        assert isinstance(catalogs, Catalogs)

        async def serves() -> bool:
            return (await catalogs.of(ME.organization_id)).own is not None and await handles(there, ME) == ["mine/big"]

        made = await providers.create(here, ME, draft(vendor))
        assert await serves()
        await providers.delete(here, ME, made.id)  # of which no word comes through
        for clock.now in (4.0, 8.0):
            catalogs.hear()
            assert await serves(), "it was heard to have stood at four"
        clock.now = 13.0
        assert not await serves(), "nothing was heard for five seconds"

        made = await providers.create(here, ME, draft(vendor))
        catalogs.hear()
        catalogs.forget(ME.organization_id)
        assert await serves(), "it was told at once"
        await providers.delete(here, ME, made.id)
        catalogs.forget(None)
        assert not await serves()

        made = await providers.create(here, ME, draft(vendor))
        catalogs.forget(None)
        assert await serves()
        await providers.delete(here, ME, made.id)
        clock.now = 74.0
        catalogs.hear()
        assert not await serves(), "whatever is heard, the database is looked at now and then"


@pytest.mark.one_database("postgresql")  # on SQLite there are no others
async def test_other_processes_hear_of_each_change(ops: Operations, vendor: Provider) -> None:
    bells, heard = Bells(ops.database), asyncio.Queue[str | None]()
    bells.on("providers", heard.put_nowait)
    bells.start()
    try:
        async with serving(ops) as here, asyncio.timeout(20):
            assert await heard.get() is None, "whatever was rung before"
            made = await providers.create(here, ME, draft(vendor))
            assert await heard.get() == ME.organization_id
            await providers.update(here, ME, made.id, Credentials(api_key="other"))
            assert await heard.get() == ME.organization_id
            await providers.delete(here, ME, made.id)
            assert await heard.get() == ME.organization_id
    finally:
        await bells.close()


async def test_only_an_administrator_may_change_or_try_providers(ops: Operations, vendor: Provider) -> None:
    writer = replace(ME, scopes=frozenset({Scope.WRITE}))
    async with serving(ops) as ops:
        made = await providers.create(ops, ME, draft(vendor))
        assert (await providers.retrieve(ops, writer, made.id)).name == "mine"
        for attempt in (
            providers.create(ops, writer, draft(vendor, "other")),
            providers.update(ops, writer, made.id, Credentials(api_key="x")),
            providers.delete(ops, writer, made.id),
            providers.refresh(ops, writer, made.id),
            providers.check(ops, writer, "openai", Credentials(api_key="x")),
            providers.check_existing(ops, writer, made.id),
        ):
            with pytest.raises(NotAllowed):
                await attempt


async def test_addresses_inside_are_refused_where_others_can_call(ops: Operations, vendor: Provider) -> None:
    async with serving(ops, guarded=True) as ops:
        for attempt in (
            providers.create(ops, ME, draft(vendor)),
            providers.check(ops, ME, "openai", Credentials(api_key="x", base_url=vendor.openai_url)),
            providers.check(ops, ME, "ollama", Credentials()),
        ):
            with pytest.raises(InvalidInput, match="private"):
                await attempt
        assert await providers.list_providers(ops, ME, Page()) == []
        async with serving(replace(ops, catalogs=ops.catalogs)) as careless:
            await providers.create(careless, ME, draft(vendor))  # stored while such addresses were allowed
        vendor.reset()
        assert await handles(ops, ME) == []
        with pytest.raises(ModelError, match="private"):
            async for _ in (await (await ops.catalogs.of(ME.organization_id)).chat_model("mine/big")).stream(
                Prompt(system="", turns=())
            ):
                pass
        assert vendor.all_requests == []


async def test_keys_that_cannot_be_opened_leave_the_others_working(ops: Operations, vendor: Provider) -> None:
    other = replace(ops, cipher=Cipher(bytes(31) + b"x"))
    async with serving(ops) as here, serving(other) as there:
        lost = await providers.create(there, ME, draft(vendor, "lost"))
        await providers.create(here, ME, draft(vendor, "kept"))
        assert await handles(here, ME) == ["kept/big"]
        await providers.update(here, ME, lost.id, Credentials(api_key="anew"))
        assert await handles(here, ME) == ["lost/big", "kept/big"]


async def test_an_organisation_cannot_add_providers_without_end(
    ops: Operations, vendor: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "MOST", 1)
    async with serving(ops) as ops:
        await providers.create(ops, ME, draft(vendor))
        with pytest.raises(Conflict, match="delete one"):
            await providers.create(ops, ME, draft(vendor, "more"))

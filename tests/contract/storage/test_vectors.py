"""What waits for a vector gets one in the background, and is found by its words until then; on both databases."""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from operator import mul
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.background.vectors import Vectors
from reverie.domain.agent import AgentChanges, AgentDraft
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelUnreachable
from reverie.domain.ids import AgentId
from reverie.domain.inputs import SayInput
from reverie.domain.message import MessageKind, MessageScope
from reverie.domain.paging import Page
from reverie.domain.passage import ArchiveChanges, ArchiveDraft, PassageDraft, SearchQuery
from reverie.loop.meaning import Meaning
from reverie.operations import agents, archives, messages, passages
from reverie.operations.base import Operations
from reverie.storage import archives as archive_rows
from reverie.storage import passages as passage_rows
from reverie.storage import vectors, workers
from reverie.storage.schema import passage_blocks
from reverie.storage.search import finding, signs
from tests.support.operations import Everyone, Models, WordEmbedder


def worker(
    ops: Operations,
    *,
    of_all_messages: bool = False,
    catalogs: Everyone | None = None,
    name: str = "worker-1",
    fault: Callable[[str], None] = lambda _: None,
) -> Vectors:
    return Vectors(
        ops.database,
        catalogs or Everyone(Models()),
        worker_id=name,
        of_all_messages=of_all_messages,
        is_quiet=lambda: True,
        fault=fault,
    )


async def waiting(ops: Operations) -> tuple[int, int]:
    return await ops.database.read(vectors.count_due)


async def an_agent_that_heard(ops: Operations, *texts: str) -> AgentId:
    said = tuple(SayInput(role="user", parts=(TextPart(text=text),)) for text in texts)
    return (await agents.create(ops, ME, AgentDraft(include_base_tools=False, initial_messages=said))).agent.id


async def heard(ops: Operations, agent_id: AgentId, text: str, mode: str) -> list[str]:
    query = SearchQuery(text=text, mode=mode, limit=1)  # type: ignore[arg-type]
    found = await messages.search_messages(ops, ME, query, MessageScope(agent_id=agent_id))
    return [part.text for message, _ in found for part in message.body.parts]  # type: ignore[union-attr]


async def wanted(ops: Operations, agent_id: AgentId) -> None:
    await ops.database.write(lambda c: vectors.want_of(c, ME.organization_id, agent_id))


async def test_the_first_search_by_meaning_finds_what_was_said_before(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps a lot", "Rent is due on Monday")
    other = await an_agent_that_heard(ops, "The cat of somebody else")
    assert await heard(ops, agent_id, "rent", "text") == ["Rent is due on Monday"]
    assert await waiting(ops) == (0, 0), "nobody asked for a meaning"
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps a lot"]
    assert await heard(ops, agent_id, "feline", "hybrid") == ["My kitten sleeps a lot"]
    assert await heard(ops, agent_id, "feline", "text") == []
    assert await waiting(ops) == (0, 0), "not even of the other agent"
    assert await heard(ops, other, "feline", "vector") == ["The cat of somebody else"]
    await agents.delete(ops, ME, other)
    assert await worker(ops).work() == 0


async def test_what_a_search_cannot_wait_for_is_made_in_the_background(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps", *("Rent is due" for _ in range(70)))
    assert await heard(ops, agent_id, "feline", "vector") != ["My kitten sleeps"], "the newest come first"
    assert await waiting(ops) == (71 - 64, 0)
    assert await worker(ops).work() == 71 - 64
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps"]


async def test_of_all_agents_where_that_is_set(ops: Operations) -> None:
    await an_agent_that_heard(ops, "My kitten sleeps", "Rent is due")
    assert await worker(ops, of_all_messages=True).work() == 2


async def test_a_reworded_message_is_found_by_its_other_meaning(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps")
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps"]
    query = SearchQuery(text="kitten", limit=1)
    ((message, _),) = await messages.search_messages(ops, ME, query, MessageScope(agent_id=agent_id))
    wish = messages.Rewording(kinds=frozenset({MessageKind.USER}), parts=(TextPart(text="My car rusts"),))
    await messages.change(ops, ME, agent_id, message.id, wish)
    assert await waiting(ops) == (1, 0)
    assert await heard(ops, agent_id, "automobile", "vector") == ["My car rusts"]


async def test_what_a_killed_process_left_is_made_by_the_next(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps")
    await wanted(ops, agent_id)

    class Killed(Exception):
        pass

    def die(_: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        await worker(ops, fault=die).work()
    assert await waiting(ops) == (1, 0)
    assert await worker(ops).work() == 1
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps"]


async def test_nothing_is_made_where_it_is_turned_off(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps")
    without = replace(ops, meaning=Meaning(database=ops.database, enabled=False))
    assert await heard(without, agent_id, "feline", "hybrid") == []
    assert await waiting(ops) == (0, 0)


async def test_an_archive_changes_its_model_while_searches_go_on(ops: Operations) -> None:
    archive = await archives.create(ops, ME, ArchiveDraft(name="a"))
    drafts = [PassageDraft(text="The kitten sleeps"), PassageDraft(text="Rent is due")]
    await archives.create_passages(ops, ME, archive.id, drafts)

    async def found(text: str, mode: str) -> list[str]:
        query = SearchQuery(text=text, mode=mode, limit=1)  # type: ignore[arg-type]
        return [item.text for item, _ in await passages.search(ops, ME, query, archive_id=archive.id)]

    assert await found("feline", "vector") == ["The kitten sleeps"]
    changed = await archives.update(ops, ME, archive.id, ArchiveChanges(embedding="toy/wide"))
    assert (changed.embedding, changed.embedding_dim) == ("toy/wide", None)
    assert await found("kitten", "hybrid") == ["The kitten sleeps"], "words find it meanwhile"
    assert await found("feline", "vector") == []
    assert await waiting(ops) == (0, 2)
    assert await worker(ops).work() == 2
    assert (await archives.retrieve(ops, ME, archive.id)).embedding_dim == 96
    assert await found("feline", "vector") == ["The kitten sleeps"]
    await archives.update(ops, ME, archive.id, ArchiveChanges(embedding=None))
    assert await found("sleeping", "hybrid") == ["The kitten sleeps"]
    assert await waiting(ops) == (0, 0)


async def test_an_agents_own_archive_goes_with_its_model(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops)
    await passages.create(ops, ME, agent_id, "The kitten sleeps")
    await agents.update(ops, ME, agent_id, AgentChanges(embedding="toy/wide"))
    await worker(ops).work()
    query = SearchQuery(text="feline", mode="vector", limit=1)
    assert [item.text for item in await passages.search_agent(ops, ME, agent_id, query)] == ["The kitten sleeps"]


async def test_a_model_that_fails_leaves_everything_waiting(ops: Operations) -> None:
    class Broken(WordEmbedder):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            raise ModelUnreachable("away")

    await wanted(ops, await an_agent_that_heard(ops, "My kitten sleeps"))
    models = Models()
    models.embedders["toy/words"] = Broken()
    assert await worker(ops, catalogs=Everyone(models)).work() == 0
    assert await waiting(ops) == (1, 0)


async def test_two_servers_make_no_vector_twice(ops: Operations) -> None:
    made: list[str] = []

    class Slow(WordEmbedder):
        async def embed(self, texts: Sequence[str]) -> list[list[float]]:
            made.extend(texts)
            await asyncio.sleep(0)  # where a real one waits, the other server comes by
            return await super().embed(texts)

    models = Models()
    models.embedders["toy/words"] = Slow()
    await wanted(ops, await an_agent_that_heard(ops, *(f"kitten number {number}" for number in range(60))))
    for name in ("worker-1", "worker-2"):
        until = ops.clock() + timedelta(hours=1)
        await ops.database.write(lambda c, name=name, until=until: workers.beat(c, name, "host", 1, until))  # type: ignore[misc]
    servers = [worker(ops, catalogs=Everyone(models), name=name) for name in ("worker-1", "worker-2")]
    assert sum(await asyncio.gather(*(server.work() for server in servers))) == 60
    assert sorted(made) == sorted({*made}), "each once"
    # What a server has taken is another one's as soon as its process is forgotten.
    await wanted(ops, await an_agent_that_heard(ops, "one more"))
    await ops.database.write(lambda c: vectors.claim_messages(c, "worker-1", 8))
    assert await servers[1].work() == 0
    await ops.database.write(lambda c: workers.forget(c, "worker-1"))
    assert await servers[1].work() == 1


async def test_large_archives_are_searched_as_exactly_as_small_ones(
    ops: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "SEALED", 16)
    monkeypatch.setattr(finding, "_LEAST_DEPTH", 4)
    rng = random.Random(5)
    points = {f"point {n}": [rng.gauss(0, 1) for _ in range(64)] for n in range(150)}
    archive = await archives.create(ops, ME, ArchiveDraft(name="large", embedding="toy/words"))
    other = await archives.create(ops, ME, ArchiveDraft(name="other", embedding="toy/words"))

    async def add(to: str, names: Sequence[str]) -> None:
        drafts = [
            PassageDraft(text=name, vector=points[name], tags=("odd",) if name[-1] in "13579" else ()) for name in names
        ]
        await ops.database.write(
            lambda c: passage_rows.insert_passages(c, archive_rows.get(c, ME.organization_id, to), drafts, ops.clock())
        )

    async def nearest(to: Sequence[float], count: int, **filters: Any) -> list[str]:
        query = SearchQuery(text="", vector=to, mode="vector", limit=count, **filters)
        return [item.text for item, _ in await passages.search(ops, ME, query, archive_id=archive.id)]

    def exact(to: Sequence[float], among: Sequence[str], count: int) -> list[str]:
        def likeness(name: str) -> float:
            return float(sum(map(mul, to, points[name]))) / math.hypot(*points[name])

        return sorted(among, key=likeness, reverse=True)[:count]

    names = list(points)
    for start in range(0, 150, 10):  # two archives grow side by side
        await add(archive.id, names[start : start + 9])
        await add(other.id, names[start + 9 : start + 10])
    mine = [name for number, name in enumerate(names) if number % 10 != 9]
    for place in ("point 3", "point 77", "point 140"):
        assert await nearest(points[place], 1) == [place]
        odd = [name for name in mine if name[-1] in "13579"]
        assert (await nearest(points[place], 3, tags=("odd",)))[:1] == exact(points[place], odd, 1)
    # Words are looked for while the query's vector is made: it finds the same, with the same scores.
    within = [await archives.retrieve(ops, ME, archive.id)]
    query = SearchQuery(text="point 3 or 77 or 140", limit=2)
    wishes = await ops.database.read(lambda c: passage_rows.wishes(c, within, query.text))
    vectors_of = {handle: WordEmbedder().embed_one(wish) for handle, wish in wishes.items()}
    one_by_one = await ops.database.read(lambda c: passage_rows.search_each(c, within, query, vectors_of))
    assert await passages.search(ops, ME, query, archive_id=archive.id) == one_by_one
    # Most of it goes, and others get the numbers of rows that went: nothing is found in the wrong archive.
    everything = await ops.database.read(
        lambda c: passage_rows.list_page(c, ME.organization_id, [archive.id], Page(limit=None))
    )
    for passage in everything:
        if passage.text not in mine[:5]:
            await archives.delete_passage(ops, ME, archive.id, passage.id)
    await add(other.id, mine[5:])
    assert set(await nearest(points["point 77"], 50)) == {*mine[:5]}
    await add(archive.id, mine[5:])
    assert await nearest(points["point 77"], 1) == ["point 77"]
    await archives.delete(ops, ME, archive.id)
    left = select(func.count()).select_from(passage_blocks).where(passage_blocks.c.holder == archive.id)
    assert await ops.database.read(lambda c: c.execute(left).scalar_one()) == 0


_OTHERS = (
    """INSERT INTO passages (id, organization_id, archive_id, text, tags, metadata, created_at, updated_at)
    SELECT 'passage-' || n, organization_id, id, 'the kitten sleeps on day ' || n, '[]', '{}', 0, 0
    FROM archives, generate_series(1, 3000) n WHERE name = 'large'""",
    """INSERT INTO passage_vectors (seq, archive_id, embedding)
    SELECT seq, archive_id, ARRAY(SELECT sin(seq * n)::real FROM generate_series(1, 64) n) FROM passages""",
    """INSERT INTO passage_bits (holder, seq, dimensions, bits)
    SELECT archive_id, seq, 64, repeat('10110001', 8)::varbit FROM passages""",
)
"""A large archive, made by the database: through the product it would take seconds."""


@pytest.mark.one_database("postgresql")
async def test_what_other_archives_hold_is_not_read(ops: Operations) -> None:
    await archives.create(ops, ME, ArchiveDraft(name="large"))
    await ops.database.write(lambda c: [c.execute(text(statement)) for statement in _OTHERS])
    archive = await archives.create(ops, ME, ArchiveDraft(name="small"))
    drafts = [
        PassageDraft(text=f"The kitten sleeps in bed {n}", vector=[math.cos(n * m) for m in range(64)])
        for n in range(30)
    ]
    await ops.database.write(lambda c: passage_rows.insert_passages(c, archive, drafts, ops.clock()))
    within = [await archives.retrieve(ops, ME, archive.id)]
    query = SearchQuery(text="kitten in bed", vector=[1.0] * 64)

    def rows_read(c: Connection) -> int:
        return int(c.scalar(text("SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables")) or 0)

    def search_ten_times(c: Connection) -> int:
        before = rows_read(c)
        for _ in range(10):  # from the sixth on, plans are for any parameters
            assert len(passage_rows.search_each(c, within, query, {})) == 10
        return rows_read(c) - before

    assert await ops.database.write(search_ten_times) < 10 * 300, "straight after so much was stored"
    await ops.database.write(lambda c: c.execute(text("ANALYZE")))
    assert await ops.database.write(search_ten_times) < 10 * 300, "with statistics"

"""Archives, passages and search, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.domain.agent import AgentDraft
from reverie.domain.content import TextPart
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.ids import AgentId, ConversationId, MessageId
from reverie.domain.inputs import SayInput
from reverie.domain.message import MessageScope
from reverie.domain.paging import Page
from reverie.domain.passage import ArchiveChanges, ArchiveDraft, PassageDraft, SearchQuery
from reverie.operations import agent_memory, agent_tools, agents, archives, passages
from reverie.operations.base import Operations
from reverie.storage import archives as archive_rows
from reverie.storage import passages as store
from reverie.storage import search, threads

FACTS = (
    "My cat sleeps on the warm radiator.",
    "The car needs new tyres before winter.",
    "She drinks coffee without milk.",
    "Rent is due on the first of the month.",
)


async def an_agent(ops: Operations) -> AgentId:
    return (await agents.create(ops, ME, AgentDraft(name="Ada", include_base_tools=False))).agent.id


async def count_of(ops: Operations, agent_id: AgentId) -> int:
    thread = ConversationId(agent_id)
    return (await ops.database.read(lambda c: threads.get(c, ME.organization_id, thread))).details.passage_count


async def test_an_archive_is_made_with_the_first_passage(ops: Operations) -> None:
    agent_id = await an_agent(ops)
    assert await archives.list_archives(ops, ME, Page(), agent_id=agent_id) == []
    made = await passages.create(ops, ME, agent_id, FACTS[0], tags=("pets", "pets"))
    assert made.tags == ("pets",)
    (archive,) = await archives.list_archives(ops, ME, Page(), agent_id=agent_id)
    assert (archive.embedding, archive.embedding_dim, archive.passage_count) == ("toy/words", 64, 1)
    assert await count_of(ops, agent_id) == 1
    await passages.delete(ops, ME, agent_id, made.id)
    assert (await archives.retrieve(ops, ME, archive.id)).passage_count == 0
    with pytest.raises(NotFound):
        await passages.delete(ops, ME, agent_id, made.id)


async def test_first_passages_at_once_share_one_archive(ops: Operations) -> None:
    agent_id = await an_agent(ops)
    await asyncio.gather(*(passages.create(ops, ME, agent_id, fact) for fact in FACTS))
    (archive,) = await archives.list_archives(ops, ME, Page(), agent_id=agent_id)
    assert archive.passage_count == len(FACTS)


async def test_search_finds_by_meaning_and_by_words(ops: Operations) -> None:
    agent_id = await an_agent(ops)
    for fact in FACTS:
        await passages.create(ops, ME, agent_id, fact)
    assert (await passages.list_passages(ops, ME, agent_id, Page(limit=1), "a feline"))[0].text == FACTS[0]
    assert (await passages.list_passages(ops, ME, agent_id, Page(limit=1), "sleeping"))[0].text == FACTS[0]
    by_words = SearchQuery(text="tyre", mode="text")
    assert [item.text for item in await passages.search_agent(ops, ME, agent_id, by_words)] == [FACTS[1]]
    by_meaning = SearchQuery(text="automobile", mode="vector", limit=1)
    assert [item.text for item in await passages.search_agent(ops, ME, agent_id, by_meaning)] == [FACTS[1]]
    ((found, hit),) = await passages.search(ops, ME, SearchQuery(text="coffee", limit=1))
    assert (found.text, hit.text_rank, hit.vector_rank) == (FACTS[2], 1, 1)


@pytest.mark.parametrize("query", ['"', "cat AND NOT (", "radiator*", "x:y", "' OR 1=1 --", "-", "", "naïve façade"])
async def test_no_text_breaks_the_search(ops: Operations, query: str) -> None:
    agent_id = await an_agent(ops)
    await passages.create(ops, ME, agent_id, FACTS[0])
    for mode in ("text", "hybrid", "vector"):
        await passages.search_agent(ops, ME, agent_id, SearchQuery(text=query, mode=mode))


async def test_search_keeps_to_tags_times_and_archives(ops: Operations) -> None:
    archive = await archives.create(ops, ME, ArchiveDraft(name="mail"))
    other = await archives.create(ops, ME, ArchiveDraft(name="other"))
    start = datetime(2025, 1, 1, tzinfo=UTC)
    drafts = [
        PassageDraft(
            text=f"letter {n}", tags=("even",) if n % 2 == 0 else ("odd", "rare"), created_at=start + timedelta(days=n)
        )
        for n in range(6)
    ]
    made = await archives.create_passages(ops, ME, archive.id, drafts)
    await archives.create_passages(ops, ME, other.id, [PassageDraft(text="letter elsewhere")])

    async def found(query: SearchQuery) -> set[str]:
        return {item.text for item, _ in await passages.search(ops, ME, query, archive_id=archive.id)}

    assert [item.text for item in made] == [f"letter {n}" for n in range(6)]
    assert len(await found(SearchQuery(text="letter", limit=50))) == 6
    assert await found(SearchQuery(text="letter", tags=("even",))) == {"letter 0", "letter 2", "letter 4"}
    assert len(await found(SearchQuery(text="letter", tags=("odd", "even")))) == 6
    assert await found(SearchQuery(text="letter", tags=("odd", "even"), match_all_tags=True)) == set()
    assert len(await found(SearchQuery(text="letter", tags=("odd", "rare"), match_all_tags=True))) == 3
    bounds = SearchQuery(text="letter", start=start + timedelta(days=2), end=start + timedelta(days=3))
    assert await found(bounds) == {"letter 2", "letter 3"}
    newest = await passages.search(ops, ME, SearchQuery(text="", limit=2), archive_id=archive.id)
    assert [item.text for item, _ in newest] == ["letter 5", "letter 4"]


async def test_archives_of_other_models_are_searched_with_their_own(ops: Operations) -> None:
    wide = await archives.create(ops, ME, ArchiveDraft(name="wide", embedding="toy/wide"))
    await archives.create_passages(ops, ME, wide.id, [PassageDraft(text=FACTS[1])])
    agent_id = await an_agent(ops)
    await passages.create(ops, ME, agent_id, FACTS[0])
    await agent_memory.attach_archive(ops, ME, agent_id, wide.id)
    found = await passages.search_agent(ops, ME, agent_id, SearchQuery(text="vehicle kitten", mode="vector", limit=2))
    assert {item.text for item in found} == {FACTS[0], FACTS[1]}
    await agent_memory.detach_archive(ops, ME, agent_id, wide.id)
    found = await passages.search_agent(ops, ME, agent_id, SearchQuery(text="vehicle kitten", mode="vector", limit=2))
    assert [item.text for item in found] == [FACTS[0]]
    await agent_memory.detach_archive(ops, ME, agent_id, wide.id)  # once more takes nothing away


async def test_vectors_that_do_not_fit_are_refused_and_nothing_is_stored(ops: Operations) -> None:
    archive = await archives.create(ops, ME, ArchiveDraft(name="a"))
    await archives.create_passages(ops, ME, archive.id, [PassageDraft(text="x")])
    now = ops.clock()
    with pytest.raises(InvalidInput, match="64 numbers"):
        await ops.database.write(
            lambda c: store.insert_passages(
                c, archive_rows.get(c, ME.organization_id, archive.id), [PassageDraft(text="y", vector=[1.0])], now
            )
        )
    assert (await archives.retrieve(ops, ME, archive.id)).passage_count == 1


async def test_an_archive_goes_with_everything_in_it(ops: Operations) -> None:
    archive = await archives.create(ops, ME, ArchiveDraft(name="a", description="old"))
    changed = await archives.update(ops, ME, archive.id, ArchiveChanges(name="b"))
    assert (changed.name, changed.description) == ("b", "old")
    assert await archives.retrieve(ops, ME, archive.id) == changed
    made = await archives.create_passages(ops, ME, archive.id, [PassageDraft(text=fact) for fact in FACTS])
    await archives.delete_passage(ops, ME, archive.id, made[0].id)
    assert (await archives.retrieve(ops, ME, archive.id)).passage_count == 3
    await archives.delete(ops, ME, archive.id)
    for table in ("passages", "passage_vectors", "passage_tags"):
        query = text(f"SELECT count(*) FROM {table}")
        assert await ops.database.read(lambda c, query=query: c.execute(query).scalar_one()) == 0  # type: ignore[misc]
    # A row number that comes round again must not find the words of what stood there before.
    second = await archives.create(ops, ME, ArchiveDraft(name="c"))
    await archives.create_passages(ops, ME, second.id, [PassageDraft(text="nothing alike") for _ in FACTS])
    assert await passages.search(ops, ME, SearchQuery(text="tyres", mode="text")) == []


async def test_passages_come_by_the_time_they_speak_of(ops: Operations) -> None:
    agent_id = await an_agent(ops)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    for day in (3, 1, 2, 1):
        await passages.create(ops, ME, agent_id, f"day {day}", created_at=start + timedelta(days=day))
    seen: list[str] = []
    after = None
    while batch := await passages.list_passages(ops, ME, agent_id, Page(limit=2, after=after, order="asc")):
        seen += [item.text for item in batch]
        after = batch[-1].id
    assert seen == ["day 1", "day 1", "day 2", "day 3"]


async def test_messages_are_found_by_role_and_words(ops: Operations) -> None:
    def said(role: str, words: str) -> SayInput:
        return SayInput(role=role, parts=(TextPart(text=words),))  # type: ignore[arg-type]

    longest = "Lisbon time" + " la" * 340_000  # a million characters: more than a list of places notes
    opening = (said("user", "I moved to Lisbon"), said("assistant", "How is Lisbon?"), said("system", longest))
    made = (await agents.create(ops, ME, AgentDraft(initial_messages=opening))).agent
    assert made.message_ids is not None
    ids = made.message_ids[1:]  # behind the prompt

    async def found(words: str, *roles: str) -> list[MessageId]:
        query = SearchQuery(text=words)
        return await ops.database.read(
            lambda c: search.search_messages(c, ME.organization_id, query, MessageScope(agent_id=made.id, roles=roles))
        )

    assert set(await found("lisbon")) == set(ids)
    assert await found("lisbon", "assistant") == [ids[1]]
    assert await found("moving") == [ids[0]]
    assert await found("nowhere") == []
    assert await found("", "user") == [ids[0]]
    await agents.delete(ops, ME, made.id)
    assert await found("lisbon") == []


async def test_support_for_vectors_is_told_in_a_sentence(ops: Operations) -> None:
    said = await ops.database.read(search.vector_support)
    assert said.startswith(("sqlite-vec", "pgvector"))


async def test_an_agent_writes_and_finds_by_the_model_of_each_archive(ops: Operations) -> None:
    draft = AgentDraft(tool_names=("archival_memory_insert", "archival_memory_search"))
    agent_id = (await agents.create(ops, ME, draft)).agent.id
    foreign = await archives.create(ops, ME, ArchiveDraft(name="wide", embedding="toy/wide"))
    await agent_memory.attach_archive(ops, ME, agent_id, foreign.id)

    async def run(tool: str, **arguments: str) -> str:
        return str((await agent_tools.run_tool(ops, ME, agent_id, tool, arguments)).value)

    await run("archival_memory_insert", content="a kitten sleeps")
    await passages.create(ops, ME, agent_id, "rain in may")
    assert "kitten" in await run("archival_memory_search", query="feline")
    own = await archives.create(ops, ME, ArchiveDraft(name="words", embedding="toy/words"))
    await agent_memory.attach_archive(ops, ME, agent_id, own.id)
    await archives.create_passages(ops, ME, own.id, [PassageDraft(text="snow in june")])
    for weather in ("fog in july", "hail in august"):
        await passages.create(ops, ME, agent_id, weather)
    newest = await passages.search(ops, ME, SearchQuery(text="", limit=3), agent_id=agent_id)
    assert [item.text for item, _ in newest] == ["hail in august", "fog in july", "snow in june"]

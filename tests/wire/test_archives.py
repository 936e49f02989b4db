"""Archives and passages: by themselves, and as an agent's archival memory."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest
from letta_client import Letta, NotFoundError, UnprocessableEntityError
from tests.support.databases import run_apart
from tests.support.server import Server
from tests.wire.samples import bare_agent

NOWHERE = "archive-00000000-0000-4000-8000-000000000000"


def test_an_archive_is_made_changed_listed_and_deleted(client: Letta) -> None:
    name = uuid4().hex
    made = client.archives.create(name=name, description="Letters")
    assert (made.name, made.description) == (name, "Letters")
    assert client.archives.retrieve(made.id) == made
    changed = client.archives.update(made.id, description="Letters of a year")
    assert (changed.name, changed.description) == (name, "Letters of a year")
    assert [archive.id for archive in client.archives.list(name=name)] == [made.id]
    client.archives.delete(made.id)
    assert list(client.archives.list(name=name)) == []
    with pytest.raises(NotFoundError) as missing:
        client.archives.retrieve(made.id)
    assert made.id in str(missing.value.body)


def test_passages_are_kept_found_by_meaning_and_deleted(client: Letta) -> None:
    archive = client.archives.create(name=uuid4().hex)
    day = datetime(2026, 5, 1, tzinfo=UTC)
    one = client.archives.passages.create(
        archive.id, text="Cats sleep all day.", tags=["pets"], metadata={"page": 1}, created_at=day.isoformat()
    )
    assert (one.text, one.tags, one.metadata, one.created_at) == ("Cats sleep all day.", ["pets"], {"page": 1}, day)
    many = client.archives.passages.create_many(
        archive.id, passages=[{"text": "The engine weaves patterns."}, {"text": "Rain in May.", "tags": ["weather"]}]
    )
    assert [passage.text for passage in many] == ["The engine weaves patterns.", "Rain in May."]
    hits = client.passages.search(archive_id=archive.id, query="a kitten naps", limit=1)
    assert [hit.passage.id for hit in hits] == [one.id]
    tagged = client.passages.search(archive_id=archive.id, query="anything", tags=["weather"], tag_match_mode="all")
    assert [hit.passage.id for hit in tagged] == [many[1].id]
    early = client.passages.search(archive_id=archive.id, query="anything", end_date=datetime(2026, 5, 2, tzinfo=UTC))
    assert [hit.passage.id for hit in early] == [one.id]
    client.archives.passages.delete(str(one.id), archive_id=archive.id)
    assert one.id not in [hit.passage.id for hit in client.passages.search(archive_id=archive.id, query="kitten")]
    with pytest.raises(NotFoundError):
        client.archives.passages.delete(str(one.id), archive_id=archive.id)


def test_several_passages_are_kept_all_or_none(client: Letta) -> None:
    archive = client.archives.create(name=uuid4().hex)
    with pytest.raises(UnprocessableEntityError):
        client.archives.passages.create_many(archive.id, passages=[{"text": "kept?"}, {"text": ""}])
    assert client.passages.search(archive_id=archive.id, query="kept?") == []
    with pytest.raises(NotFoundError) as missing:
        client.archives.passages.create_many(NOWHERE, passages=[{"text": "kept?"}])
    assert NOWHERE in str(missing.value.body)


def test_an_attached_archive_is_searched_by_the_agent(client: Letta) -> None:
    agent = bare_agent(client)
    archive = client.archives.create(name=uuid4().hex)
    client.archives.passages.create(archive.id, text="The key is under the mat.")
    client.agents.archives.attach(archive.id, agent_id=agent.id)
    assert [found.id for found in client.archives.list(agent_id=agent.id)] == [archive.id]
    assert [hit.content for hit in client.agents.passages.search(agent.id, query="where is the key").results] == [
        "The key is under the mat."
    ]
    client.agents.archives.detach(archive.id, agent_id=agent.id)
    client.agents.archives.detach(archive.id, agent_id=agent.id)  # nothing happens
    assert list(client.archives.list(agent_id=agent.id)) == []
    assert client.agents.passages.search(agent.id, query="where is the key").count == 0
    assert client.archives.retrieve(archive.id).id == archive.id
    with pytest.raises(NotFoundError):
        client.agents.archives.attach(NOWHERE, agent_id=agent.id)
    with pytest.raises(NotFoundError):
        client.agents.archives.detach(NOWHERE, agent_id=agent.id)


def test_an_agents_own_passages_are_kept_listed_searched_and_deleted(client: Letta) -> None:
    agent = bare_agent(client)
    kept = [
        client.agents.passages.create(agent.id, text=text, tags=tags)[0]
        for text, tags in (("Ada likes tea.", ["ada"]), ("The sky is blue.", ["sky"]), ("Bo likes coffee.", ["bo"]))
    ]
    assert [passage.text for passage in client.agents.passages.list(agent.id, ascending=True)] == [
        passage.text for passage in kept
    ]
    assert [p.id for p in client.agents.passages.list(agent.id, limit=1, after=kept[0].id)] == [kept[1].id]
    best = client.agents.passages.list(agent.id, search="a hot drink of leaves", limit=1)
    assert [passage.id for passage in best] == [kept[0].id]
    found = client.agents.passages.search(agent.id, query="drinks", tags=["ada", "bo"], top_k=5)
    assert {hit.id for hit in found.results} == {kept[0].id, kept[2].id}
    client.agents.passages.delete(str(kept[0].id), agent_id=agent.id)
    assert [passage.id for passage in client.agents.passages.list(agent.id)] == [kept[1].id, kept[2].id]
    with pytest.raises(NotFoundError):
        client.agents.passages.delete(str(kept[0].id), agent_id=agent.id)


@pytest.mark.one_database("postgresql")
def test_a_database_without_vectors_is_searched_by_words_as_the_start_says(own_server: Server) -> None:
    async def change(statement: str) -> None:
        connection = await asyncpg.connect(own_server.database_url)
        await connection.execute(statement)
        await connection.close()

    def found(query: str) -> list[str]:
        with own_server.http as http:
            answer = http.post("/v1/passages/search", json={"query": query, "archive_id": archive.id})
        return [item["passage"]["text"] for item in answer.json()]

    assert "pgvector" not in own_server.log
    own_server.stop()
    run_apart(change("DROP EXTENSION vector"))
    own_server.start()
    assert "no pgvector: search finds words only, not meaning; let a superuser run CREATE EXTENSION" in own_server.log
    archive = own_server.client.archives.create(name="by words")
    own_server.client.archives.passages.create(archive.id, text="Otters hold hands while they sleep.")
    assert found("otter") == ["Otters hold hands while they sleep."]
    with ThreadPoolExecutor(6) as many:  # whichever connection they go by
        assert [*many.map(found, ["animals at night"] * 12)] == [[]] * 12
        run_apart(change("CREATE EXTENSION vector"))
        assert [*many.map(found, ["animals at night"] * 12)] == [["Otters hold hands while they sleep."]] * 12

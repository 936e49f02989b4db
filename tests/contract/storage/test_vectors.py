"""What waits for a vector gets one in the background, and is found by its words until then; on both databases."""

from collections.abc import Sequence

import pytest

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.background.vectors import Vectors
from reverie.domain.agent import AgentChanges, AgentDraft
from reverie.domain.content import TextPart
from reverie.domain.errors import ModelUnreachable
from reverie.domain.ids import AgentId
from reverie.domain.inputs import SayInput
from reverie.domain.message import MessageKind, MessageScope
from reverie.domain.passage import ArchiveChanges, ArchiveDraft, PassageDraft, SearchQuery
from reverie.operations import agents, archives, messages, passages
from reverie.operations.base import Operations
from reverie.storage import vectors
from tests.support.operations import Everyone, Models, WordEmbedder


def worker(ops: Operations, *, of_messages: bool = True, catalogs: Everyone | None = None) -> Vectors:
    return Vectors(ops.database, catalogs or Everyone(Models()), of_messages=of_messages, fault=lambda _: None)


async def waiting(ops: Operations) -> tuple[int, int]:
    return await ops.database.read(vectors.count_due)


async def an_agent_that_heard(ops: Operations, *texts: str) -> AgentId:
    said = tuple(SayInput(role="user", parts=(TextPart(text=text),)) for text in texts)
    return (await agents.create(ops, ME, AgentDraft(include_base_tools=False, initial_messages=said))).agent.id


async def heard(ops: Operations, agent_id: AgentId, text: str, mode: str) -> list[str]:
    query = SearchQuery(text=text, mode=mode, limit=1)  # type: ignore[arg-type]
    found = await messages.search_messages(ops, ME, query, MessageScope(agent_id=agent_id))
    return [part.text for message, _ in found for part in message.body.parts]  # type: ignore[union-attr]


async def test_messages_are_found_by_meaning_once_their_vectors_are_made(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps a lot", "Rent is due on Monday")
    other = await an_agent_that_heard(ops, "The cat of somebody else")
    assert await heard(ops, agent_id, "cat", "vector") == []
    assert await heard(ops, agent_id, "rent", "hybrid") == ["Rent is due on Monday"], "words find it at once"
    assert await waiting(ops) == (3, 0)
    assert await worker(ops).work() == 3
    assert await waiting(ops) == (0, 0)
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps a lot"]
    assert await heard(ops, agent_id, "feline", "hybrid") == ["My kitten sleeps a lot"]
    assert await heard(ops, agent_id, "feline", "text") == []
    assert await heard(ops, other, "feline", "vector") == ["The cat of somebody else"]
    await agents.delete(ops, ME, other)
    assert await worker(ops).work() == 0


async def test_a_reworded_message_is_found_by_its_other_meaning(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps")
    await worker(ops).work()
    query = SearchQuery(text="kitten", limit=1)
    ((message, _),) = await messages.search_messages(ops, ME, query, MessageScope(agent_id=agent_id))
    wish = messages.Rewording(kinds=frozenset({MessageKind.USER}), parts=(TextPart(text="My car rusts"),))
    await messages.change(ops, ME, agent_id, message.id, wish)
    assert await heard(ops, agent_id, "feline", "vector") == []
    await worker(ops).work()
    assert await heard(ops, agent_id, "automobile", "vector") == ["My car rusts"]


async def test_what_a_killed_process_left_is_made_by_the_next(ops: Operations) -> None:
    agent_id = await an_agent_that_heard(ops, "My kitten sleeps")

    class Killed(Exception):
        pass

    def die(_: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        await Vectors(ops.database, Everyone(Models()), of_messages=True, fault=die).work()
    assert await waiting(ops) == (1, 0)
    assert await worker(ops).work() == 1
    assert await heard(ops, agent_id, "feline", "vector") == ["My kitten sleeps"]


async def test_messages_wait_while_their_vectors_are_turned_off(ops: Operations) -> None:
    await an_agent_that_heard(ops, "My kitten sleeps")
    assert await worker(ops, of_messages=False).work() == 0
    assert await waiting(ops) == (1, 0)


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

    await an_agent_that_heard(ops, "My kitten sleeps")
    models = Models()
    models.embedders["toy/words"] = Broken()
    assert await worker(ops, catalogs=Everyone(models)).work() == 0
    assert await waiting(ops) == (1, 0)

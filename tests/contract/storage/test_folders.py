"""Folders, files and their reading, over both databases and without a server."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, event

from reverie.auth.keys import LOCAL_CALLER as ME
from reverie.auth.keys import Caller, Scope
from reverie.background.ingest import Ingest
from reverie.documents.base import DocumentOptions
from reverie.documents.reader import SubprocessReader
from reverie.domain.agent import AgentDraft
from reverie.domain.errors import ModelError, ModelOverloaded, NotAllowed, NotFound
from reverie.domain.folder import File, FileStatus, Folder, FolderChanges, FolderDraft, Upload
from reverie.domain.ids import AgentId, ConversationId, OrganizationId, UserId
from reverie.domain.paging import Page
from reverie.domain.passage import SearchQuery
from reverie.operations import agent_files, agents, files, folders
from reverie.operations.base import Operations
from reverie.storage import file_passages, threads, workers
from tests.support.operations import EMBEDDING, Everyone, Models, WordEmbedder

STRANGER = Caller(
    organization_id=OrganizationId("org-other"), user_id=UserId("user-other"), scopes=frozenset(Scope), key_id=None
)
READER = Caller(organization_id=ME.organization_id, user_id=ME.user_id, scopes=frozenset({Scope.READ}), key_id=None)
PAGE = Page(limit=100, order="asc")


def ingest(ops: Operations, models: Models | None = None, worker: str = "worker-1") -> Ingest:
    return Ingest(
        ops.database,
        SubprocessReader(DocumentOptions()),
        ops.catalogs if models is None else Everyone(models),
        worker_id=worker,
        clock=ops.clock,
        fault=lambda _: None,
    )


async def a_folder(ops: Operations, *texts: str, embedding: str | None = EMBEDDING) -> tuple[Folder, list[File]]:
    folder = await folders.create(ops, ME, FolderDraft(name="docs", embedding=embedding))
    given = [Upload(data=text.encode(), file_name=f"{number}.md") for number, text in enumerate(texts)]
    return folder, [(await files.upload(ops, ME, folder.id, item))[0] for item in given]


async def present(ops: Operations, folder: Folder, file: File) -> File:
    return (await files.retrieve(ops, ME, folder.id, file.id))[0]


async def found(ops: Operations, folder: Folder, text: str, vector: Sequence[float] | None = None) -> list[str]:
    query = SearchQuery(text=text, vector=vector, mode="vector" if vector else "text")
    hits = await ops.database.read(lambda c: file_passages.search(c, ME.organization_id, [folder.id], query))
    return [passage.text for passage, _ in hits]


async def test_a_file_is_found_by_its_words_and_by_its_meaning(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten in the garden.")
    assert (await present(ops, folder, file)).status is FileStatus.PENDING
    assert await ingest(ops).work() == 1
    assert (await present(ops, folder, file)).status is FileStatus.COMPLETED
    assert await found(ops, folder, "gardens") == ["A kitten in the garden."]
    assert await found(ops, folder, "", WordEmbedder().embed_one("feline")) == ["A kitten in the garden."]
    await files.delete(ops, ME, folder.id, file.id)
    assert await found(ops, folder, "gardens") == []
    assert await ingest(ops).work() == 0


async def test_another_embedding_model_gives_all_files_other_vectors(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten in the garden.")
    await ingest(ops).work()
    wide = WordEmbedder("toy/wide", 96)
    changed = await folders.update(ops, ME, folder.id, FolderChanges(embedding="toy/wide"))
    assert changed.embedding == "toy/wide"
    waiting = await present(ops, folder, file)
    assert (waiting.status, waiting.chunks_embedded) == (FileStatus.EMBEDDING, 0)
    assert await found(ops, folder, "gardens") == ["A kitten in the garden."], "words find it meanwhile"
    await ingest(ops).work()
    assert (await present(ops, folder, file)).chunks_embedded == 1
    assert await found(ops, folder, "", wide.embed_one("feline")) == ["A kitten in the garden."]
    assert await found(ops, folder, "", WordEmbedder().embed_one("feline")) == []


class Failing(WordEmbedder):
    """Fails as often as it is told, then works."""

    def __init__(self, *errors: ModelError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self.errors:
            raise self.errors.pop(0)
        return await super().embed(texts)


async def test_a_model_that_fails_for_a_while_is_asked_again_later(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten in the garden.")
    models = Models()
    models.embedders[EMBEDDING] = Failing(ModelOverloaded("busy"), ModelOverloaded("busy"))
    worker = ingest(ops, models)
    rounds = 0
    while (await present(ops, folder, file)).status is not FileStatus.COMPLETED:
        assert (await present(ops, folder, file)).status in (FileStatus.PENDING, FileStatus.EMBEDDING)
        rounds += 1
        assert rounds < 60
        await worker.work()  # the clock goes on by a second at each look
    assert await found(ops, folder, "", WordEmbedder().embed_one("feline")) == ["A kitten in the garden."]


async def test_a_model_that_fails_for_good_leaves_a_file_that_words_find(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten in the garden.")
    models = Models()
    models.embedders[EMBEDDING] = Failing(ModelError("no such thing"))
    agent = await agents.create(ops, ME, AgentDraft(folder_ids=(folder.id,)))
    await ingest(ops, models).work()
    failed = await present(ops, folder, file)
    assert failed.status is FileStatus.ERROR
    assert "no such thing" in (failed.error_message or "")
    assert await found(ops, folder, "gardens") == ["A kitten in the garden."]
    views = await agent_files.list_files(ops, ME, agent.agent.id, PAGE)
    assert [view.is_open for view in views] == [True]


async def test_two_workers_share_the_files_and_read_none_twice(ops: Operations) -> None:
    folder, uploaded = await a_folder(ops, *(f"Text number {number}." for number in range(6)))
    now = ops.clock()
    for worker in ("worker-1", "worker-2"):
        await ops.database.write(partial(workers.beat, worker_id=worker, host="here", pid=1, lease_until=now))
    done = await asyncio.gather(ingest(ops).work(), ingest(ops, worker="worker-2").work())
    assert sum(done) == 6
    for file in uploaded:
        assert (await present(ops, folder, file)).status is FileStatus.COMPLETED
    assert len(await found(ops, folder, "text")) == 6


async def test_a_folder_removed_while_its_file_is_read_stays_removed(ops: Operations) -> None:
    folder, _ = await a_folder(ops, "A kitten.")
    reading = asyncio.create_task(ingest(ops).work())
    await folders.delete(ops, ME, folder.id)
    await reading
    with pytest.raises(NotFound):
        await folders.retrieve(ops, ME, folder.id)
    assert await found(ops, folder, "kitten") == []


async def test_another_organisation_sees_nothing_of_it(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten.")
    await ingest(ops).work()
    agent = (await agents.create(ops, ME, AgentDraft(folder_ids=(folder.id,)))).agent
    theirs = (await agents.create(ops, STRANGER, AgentDraft())).agent
    upload = Upload(data=b"x", file_name="x.md")
    for attempt in (
        folders.retrieve(ops, STRANGER, folder.id),
        folders.update(ops, STRANGER, folder.id, FolderChanges(name="mine")),
        folders.delete(ops, STRANGER, folder.id),
        folders.list_agent_ids(ops, STRANGER, folder.id, PAGE),
        folders.list_passages(ops, STRANGER, folder.id, PAGE),
        files.upload(ops, STRANGER, folder.id, upload),
        files.list_files(ops, STRANGER, folder.id, PAGE),
        files.retrieve(ops, STRANGER, folder.id, file.id),
        files.delete(ops, STRANGER, folder.id, file.id),
        agent_files.attach_folder(ops, STRANGER, theirs.id, folder.id),
        agent_files.attach_folder(ops, STRANGER, agent.id, folder.id),
        agent_files.detach_folder(ops, STRANGER, agent.id, folder.id),
        agent_files.list_folders(ops, STRANGER, agent.id, PAGE),
        agent_files.list_files(ops, STRANGER, agent.id, PAGE),
        agent_files.open_file(ops, STRANGER, theirs.id, file.id),
        agent_files.close_file(ops, STRANGER, agent.id, file.id),
        agent_files.close_all(ops, STRANGER, agent.id),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert await folders.find_named(ops, STRANGER, "docs") is None
    assert await folders.list_folders(ops, STRANGER, PAGE) == []
    assert await folders.count(ops, STRANGER) == 0
    assert await folders.stats(ops, STRANGER, with_files=True) == []
    assert (await folders.create(ops, STRANGER, FolderDraft(name="docs"))).name == "docs"


async def test_a_key_that_may_only_read_changes_nothing(ops: Operations) -> None:
    folder, (file,) = await a_folder(ops, "A kitten.")
    agent = (await agents.create(ops, ME, AgentDraft())).agent
    for attempt in (
        folders.create(ops, READER, FolderDraft(name="x")),
        folders.update(ops, READER, folder.id, FolderChanges(name="x")),
        folders.delete(ops, READER, folder.id),
        files.upload(ops, READER, folder.id, Upload(data=b"x", file_name="x.md")),
        files.delete(ops, READER, folder.id, file.id),
        agent_files.attach_folder(ops, READER, agent.id, folder.id),
        agent_files.open_file(ops, READER, agent.id, file.id),
        agent_files.close_file(ops, READER, agent.id, file.id),
        agent_files.close_all(ops, READER, agent.id),
    ):
        with pytest.raises(NotAllowed):
            await attempt
    assert (await files.retrieve(ops, READER, folder.id, file.id))[0].id == file.id


async def test_uploads_of_one_name_at_once_all_get_names_of_their_own(ops: Operations) -> None:
    folder, _ = await a_folder(ops)
    given = Upload(data=b"x", file_name="a.md")
    stored = await asyncio.gather(*(files.upload(ops, ME, folder.id, given) for _ in range(5)))
    assert {file.file_name for file, _ in stored} == {"docs/a.md", *(f"docs/a_({n}).md" for n in range(1, 5))}


async def test_an_agent_without_folders_costs_no_query_more(ops: Operations) -> None:
    folder, _ = await a_folder(ops, "A kitten.")
    plain = (await agents.create(ops, ME, AgentDraft())).agent
    reader = (await agents.create(ops, ME, AgentDraft(folder_ids=(folder.id,)))).agent

    def count(c: Connection, agent_id: AgentId) -> int:
        seen: list[str] = []
        event.listen(c, "before_cursor_execute", note := lambda _c, _cursor, statement, *_: seen.append(statement))
        threads.get(c, ME.organization_id, ConversationId(agent_id))
        event.remove(c, "before_cursor_execute", note)
        return len(seen)

    # Over PostgreSQL the agent brings its blocks and its tools along.
    least = 3 if ops.database.dialect.name == "sqlite" else 1
    assert await ops.database.read(lambda c: count(c, plain.id)) == least
    assert await ops.database.read(lambda c: count(c, reader.id)) == least + 2

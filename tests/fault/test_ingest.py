"""kill -9 while a file is read: it is read to the end after the restart, and nothing of it is there twice."""

import pytest
from letta_client import APIError
from tests.support.databases import database_urls
from tests.support.documents import pdf, upload, wait_read
from tests.support.provider import Provider
from tests.support.server import provider_environment, running_server

TEXT = "\n".join(f"Line {number} of a chronicle that is long enough." for number in range(1, 2001))
PHRASE = "The last page speaks of herring."


@pytest.mark.parametrize(
    ("point", "database"),
    [("file_claimed", "sqlite"), ("file_parsed", "postgresql"), ("file_embedding:2", "sqlite")],
    indirect=["database"],
)
def test_a_killed_server_reads_its_files_to_the_end(provider: Provider, database: str, point: str) -> None:
    crashing = {**provider_environment(provider), "REVERIE_CRASH_AT": point}
    with database_urls(database) as url, running_server(url, crashing) as server:
        client = server.client
        folder = client.folders.create(name="docs", embedding="openai/text-embedding-3-small").id
        agent = client.agents.create(model="openai/gpt-4o-mini", folder_ids=[folder])
        server_died_in_upload: list[str] = []
        for name, data in (("long.txt", TEXT.encode()), ("paper.pdf", pdf("First page.", PHRASE))):
            try:
                upload(client, folder, name, data)
            except (APIError, OSError) as error:  # the server may be dead by the second one
                server_died_in_upload.append(repr(error))
        server.wait_dead()
        del server.environment["REVERIE_CRASH_AT"]
        client = server.start().client
        ids = [file.id for file in client.folders.files.list(folder, order="asc")]
        # An upload whose answer was lost may have been stored or not; every other one was.
        assert 2 - len(server_died_in_upload) <= len(ids) <= 2
        read = wait_read(client, folder, *ids)
        with server.http as http:
            passages = http.get(f"/v1/folders/{folder}/passages", params={"limit": 1000, "order": "asc"}).json()
        for file in read:
            assert file.processing_status == "completed", file.error_message
            assert file.total_chunks == file.chunks_embedded
            own = [item for item in passages if item["file_id"] == file.id]
            assert len(own) == file.total_chunks
            assert len({item["metadata"]["start_line"] for item in own}) == len(own)
        texts = {file.file_name: file.content for file in read}
        assert texts.get("long.txt", TEXT) == TEXT
        assert {file.file_id for file in client.agents.files.list(agent.id, is_open=True)} == set(ids)

"""Folders and their files: made, uploaded to, read in the background, found, and removed."""

from uuid import uuid4

import pytest
from letta_client import APIStatusError, ConflictError, Letta, NotFoundError, UnprocessableEntityError
from tests.support.documents import DOCX, PDF, PPTX, pdf, put, slides, upload, wait_read, word
from tests.support.server import Server
from tests.wire.conftest import StartServer
from tests.wire.samples import bare_agent

NOWHERE = "source-00000000-0000-4000-8000-000000000000"
LOST_FILE = "file-00000000-0000-4000-8000-000000000000"


@pytest.fixture
def folder_id(client: Letta) -> str:
    """A fresh folder: the server is shared."""
    return client.folders.create(name=f"docs {uuid4().hex}").id


def test_a_folder_is_made_changed_found_and_deleted(client: Letta, server: Server) -> None:
    name = f"papers {uuid4().hex}"
    made = client.folders.create(
        name=name, description="d", instructions="i", metadata={"k": [1]}, embedding_chunk_size=120
    )
    assert made.id.startswith("source-")
    assert (made.name, made.description, made.instructions, made.metadata) == (name, "d", "i", {"k": [1]})
    assert made.embedding_config.embedding_chunk_size == 120
    assert made.embedding_config.handle
    assert client.folders.retrieve(made.id) == made
    assert [folder.id for folder in client.folders.list(name=name)] == [made.id]
    with pytest.raises(ConflictError):
        client.folders.create(name=name)
    changed = client.folders.update(made.id, name=f"{name}!", description=None, instructions="new")
    assert (changed.name, changed.instructions, changed.metadata) == (f"{name}!", "new", {"k": [1]})
    with server.http as http:
        assert http.get(f"/v1/folders/name/{name}!").json() == made.id
        assert http.get(f"/v1/sources/name/{name}").status_code == 404
        assert http.get(f"/v1/sources/{made.id}").json()["vector_db_provider"] == "native"
        assert made.id in [item["id"] for item in http.get("/v1/sources/", params={"limit": 1000}).json()]
        assert http.get("/v1/folders/count").json() == http.get("/v1/sources/count").json() >= 1
    client.folders.delete(made.id)
    with pytest.raises(NotFoundError):
        client.folders.retrieve(made.id)


def test_files_of_every_kind_are_read(client: Letta, folder_id: str) -> None:
    samples: dict[str, tuple[bytes, str, str]] = {
        "plain.txt": (b"The lighthouse is 41 metres tall.\r\nIt is white.", "text/plain", "tall.\nIt is"),
        "notes.md": ("# Über\n\nherring".encode(), "text/markdown", "# Über\n\nherring"),
        "tool.py": (b"def f():\n    return 1\n", "text/x-python", "    return 1"),
        "data.json": (b'{"budget": 900}', "application/json", '{"budget": 900}'),
        "rows.csv": (b"name,age\nAda,36\n", "text/csv", "Ada,36"),
        "page.html": (b"<html><body><h1>Head</h1><script>x=1</script><p>Para</p></body></html>", "text/html", "Para"),
        "wide.txt": ("wide".encode("utf-16"), "text/plain", "wide"),
        "old.txt": ("caf\xe9".encode("cp1252"), "text/plain", "café"),
        "paper.pdf": (pdf("First line of the paper.\nSecond.", "Page two."), PDF, "First line of the paper."),
        "letter.docx": (word("Minutes", "The budget is 900 crowns."), DOCX, "The budget is 900 crowns."),
        "talk.pptx": (slides("Roadmap", "Ship in October"), PPTX, "Ship in October"),
    }
    read = put(client, folder_id, [(name, data) for name, (data, _, _) in samples.items()])
    for file, (name, (data, media_type, phrase)) in zip(read, samples.items(), strict=True):
        assert (file.processing_status, file.error_message) == ("completed", None), name
        assert phrase in (file.content or ""), name
        assert file.original_file_name == name
        assert file.file_name == name
        assert (file.file_type, file.file_size) == (media_type, len(data))
        assert (file.total_chunks, file.chunks_embedded) == (1, 1)
    assert "x=1" not in (read[5].content or "")
    assert "right cell" in (read[9].content or "")
    listed = list(client.folders.files.list(folder_id))
    assert [file.id for file in listed] == [file.id for file in reversed(read)]
    assert all(file.content is None for file in listed)
    assert list(client.folders.files.list(folder_id, include_content=True, order="asc"))[3].content == '{"budget": 900}'
    assert [file.id for file in client.folders.files.list(folder_id, limit=4)] == [file.id for file in reversed(read)]


def test_a_long_file_becomes_passages_that_know_their_file_and_line(
    client: Letta, server: Server, folder_id: str
) -> None:
    text = "\n".join(f"Line {number} of the chronicle." for number in range(1, 401))
    (file,) = put(client, folder_id, [("chronicle.txt", text)])
    assert file.total_chunks == file.chunks_embedded
    assert file.total_chunks is not None
    assert file.total_chunks > 5
    with server.http as http:
        path = f"/v1/folders/{folder_id}/passages"
        found = http.get(path, params={"order": "asc", "limit": 3}).json()
        more = http.get(path, params={"order": "asc", "limit": 500, "after": found[-1]["id"]}).json()
        assert http.get(f"/v1/sources/{folder_id}/passages", params={"order": "asc", "limit": 3}).json() == found
    every = [*found, *more]
    assert len(every) == file.total_chunks
    assert {(item["file_id"], item["source_id"], item["archive_id"]) for item in every} == {(file.id, folder_id, None)}
    for item in every:
        first = item["text"].split("\n")[0]
        assert first == f"Line {item['metadata']['start_line']} of the chronicle."


def test_a_file_that_cannot_be_read_ends_in_error_with_the_reason(start_server: StartServer) -> None:
    server = start_server(REVERIE_FILE_MAX_BYTES="100000")
    client = server.client
    folder_id = client.folders.create(name="bad").id
    whole = pdf("fine")
    samples: dict[str, tuple[bytes, str]] = {
        "empty.txt": (b"", "empty"),
        "blank.md": (b" \n\t\n", "holds no text"),
        "binary.txt": (b"\x00\x01\x02" * 50, "binary"),
        "cut.pdf": (whole[: len(whole) // 2], "damaged"),
        "no.pdf": (b"I am no PDF", "damaged"),
        "cut.docx": (word("x", "y")[:900], "damaged"),
        "no.pptx": (b"\x89PNG\r\n\x1a\n", "damaged"),
        "locked.pdf": (pdf("secret", password="hunter2"), "encrypted"),
        "locked.docx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
        "scan.pdf": (pdf(""), "holds no text"),
        "large.txt": (b"x" * 100_001, "100001 bytes"),
    }
    read = put(client, folder_id, [*((name, data) for name, (data, _) in samples.items()), ("good.txt", "still here")])
    for file, (name, (_, reason)) in zip(read[:-1], samples.items(), strict=True):
        assert file.processing_status == "error", name
        assert reason in (file.error_message or ""), (name, file.error_message)
        assert file.content is None
    assert read[-1].processing_status == "completed"
    agent = bare_agent(client, folder_ids=[folder_id])
    assert [file.file_name for file in client.agents.files.list(agent.id)] == ["bad/good.txt"]


def test_other_kinds_of_files_are_refused(client: Letta, folder_id: str) -> None:
    for name in ("song.mp3", "archive.zip", "noending"):
        with pytest.raises(APIStatusError) as refused:
            upload(client, folder_id, name, b"x")
        assert refused.value.status_code == 415
        assert name in str(refused.value.body)
    typed = client.folders.files.upload(folder_id, file=("noending", b"text", "text/plain; charset=utf-8"))
    assert wait_read(client, folder_id, typed.id)[0].content == "text"
    assert len(list(client.folders.files.list(folder_id))) == 1


def test_a_file_name_never_leads_out_of_its_folder(client: Letta, folder_id: str) -> None:
    folder = client.folders.retrieve(folder_id).name
    names = {
        "../../etc/passwd.txt": "etc/passwd.txt",
        "..\\..\\boot.txt": "boot.txt",
        "/etc/./../shadow.txt": "etc/shadow.txt",
        "notes/2026/may.md": "notes/2026/may.md",
        "a\x00b\x1b.txt": "ab.txt",
        f"{'x' * 400}.txt": f"{'x' * 196}.txt",
    }
    for given, kept in names.items():
        file = upload(client, folder_id, "t.txt", "x", name=given)
        assert (file.original_file_name, file.file_name) == (kept, f"{folder}/{kept}")
    assert {file.file_name for file in client.folders.files.list(folder_id)} == {*names.values()}
    again = upload(client, folder_id, "t.md", "x", name="notes/2026/may.md")
    assert again.file_name == f"{folder}/notes/2026/may_(1).md"
    named_by_its_path = upload(client, folder_id, "notes/2026/june.md", "x")
    assert named_by_its_path.file_name == f"{folder}/june.md", "a program's own path says nothing of the folder"
    for bad in ("..", "/", "\x01"):
        with pytest.raises(APIStatusError) as refused:
            upload(client, folder_id, "t.txt", "x", name=bad)
        assert refused.value.status_code == 400


def test_duplicates_are_handled_as_the_upload_says(client: Letta, server: Server, folder_id: str) -> None:
    folder = client.folders.retrieve(folder_id).name
    first = upload(client, folder_id, "a.tar.md", "one")
    second = upload(client, folder_id, "a.tar.md", "two")
    third = upload(client, folder_id, "a.tar.md", "three", duplicate_handling="suffix")
    names = [file.file_name for file in (first, second, third)]
    assert names == [f"{folder}/a.tar.md", f"{folder}/a.tar_(1).md", f"{folder}/a.tar_(2).md"]
    with pytest.raises(ConflictError):
        upload(client, folder_id, "a.tar.md", "four", duplicate_handling="error")
    with server.http as http:
        skipped = http.post(
            f"/v1/folders/{folder_id}/upload",
            params={"duplicate_handling": "skip"},
            files={"file": ("a.tar.md", b"five")},
        )
    assert skipped.headers["x-upload-result"] == "skipped"
    assert skipped.json()["id"] == first.id, "the file that bears the name, not a later one that was given a number"
    replaced = upload(client, folder_id, "other.md", "six", name="a.tar.md", duplicate_handling="replace")
    assert replaced.file_name == first.file_name
    numbered = upload(client, folder_id, "a.tar_(1).md", "seven", duplicate_handling="replace")
    assert numbered.file_name == second.file_name
    assert {file.id for file in client.folders.files.list(folder_id)} == {third.id, replaced.id, numbered.id}
    read = wait_read(client, folder_id, third.id, replaced.id, numbered.id)
    assert [file.content for file in read] == ["three", "six", "seven"]
    with pytest.raises(UnprocessableEntityError):
        upload(client, folder_id, "a.md", "x", duplicate_handling="both")


def test_a_file_and_a_folder_go_with_all_they_hold(client: Letta, server: Server, folder_id: str) -> None:
    first, second = put(client, folder_id, [("a.md", "alpha"), ("b.md", "beta")])
    client.folders.files.delete(first.id, folder_id=folder_id)
    with pytest.raises(NotFoundError) as missing:
        client.folders.files.retrieve(first.id, folder_id=folder_id)
    assert first.id in str(missing.value.body)
    with server.http as http:
        passages = http.get(f"/v1/folders/{folder_id}/passages").json()
        assert [item["file_id"] for item in passages] == [second.id]
        assert http.delete(f"/v1/sources/{folder_id}/{second.id}").status_code == 204
        stats = http.get("/v1/folders/metadata").json()
        assert next(item for item in stats["sources"] if item["source_id"] == folder_id)["file_count"] == 0
    other = client.folders.create(name=f"other {uuid4().hex}").id
    (kept,) = put(client, other, [("c.md", "gamma")])
    with pytest.raises(NotFoundError):
        client.folders.files.retrieve(kept.id, folder_id=folder_id)
    client.folders.delete(other)
    with pytest.raises(NotFoundError):
        client.folders.files.retrieve(kept.id, folder_id=other)


def test_the_overview_counts_files_and_bytes(start_server: StartServer) -> None:
    server = start_server()
    client = server.client
    first, second = client.folders.create(name="one").id, client.folders.create(name="two").id
    put(client, first, [("a.md", "12345"), ("b.md", "123")])
    with server.http as http:
        plain = http.get("/v1/folders/metadata").json()
        full = http.get("/v1/sources/metadata", params={"include_detailed_per_source_metadata": True}).json()
    assert (plain["total_sources"], plain["total_files"], plain["total_size"]) == (2, 2, 8)
    assert [item["files"] for item in plain["sources"]] == [[], []]
    assert [(item["source_id"], item["total_size"]) for item in full["sources"]] == [(first, 8), (second, 0)]
    assert [item["file_name"] for item in full["sources"][0]["files"]] == ["one/a.md", "one/b.md"]


def test_a_renamed_folder_renames_its_files(client: Letta, folder_id: str) -> None:
    (file,) = put(client, folder_id, [("a.md", "x")])
    name = f"renamed {uuid4().hex}"
    client.folders.update(folder_id, name=name)
    assert client.folders.files.retrieve(file.id, folder_id=folder_id).file_name == "a.md"
    assert upload(client, folder_id, "b.md", "x").file_name == f"{name}/b.md"
    agent = bare_agent(client, folder_ids=[folder_id])
    assert f"{name}/a.md" in [item.file_name for item in client.agents.files.list(agent.id)]


def test_unknown_and_malformed_ids_are_told_apart(client: Letta, folder_id: str) -> None:
    for call in (
        lambda: client.folders.retrieve(NOWHERE),
        lambda: client.folders.update(NOWHERE, description="x"),
        lambda: client.folders.delete(NOWHERE),
        lambda: client.folders.agents.list(NOWHERE),
        lambda: client.folders.files.list(NOWHERE),
        lambda: upload(client, NOWHERE, "a.md", "x"),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert NOWHERE in str(missing.value.body)
    for call in (
        lambda: client.folders.files.retrieve(LOST_FILE, folder_id=folder_id),
        lambda: client.folders.files.delete(LOST_FILE, folder_id=folder_id),
    ):
        with pytest.raises(NotFoundError) as missing:
            call()
        assert LOST_FILE in str(missing.value.body)
    with pytest.raises(UnprocessableEntityError):
        client.folders.retrieve("folder-1")
    with pytest.raises(UnprocessableEntityError):
        client.folders.files.retrieve("file-1", folder_id=folder_id)
    with pytest.raises(UnprocessableEntityError):
        client.folders.create(name="")
    with pytest.raises(NotFoundError):
        client.folders.create(name=uuid4().hex, embedding="nobody/nothing")

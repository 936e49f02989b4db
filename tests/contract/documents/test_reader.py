"""The process that reads documents: what it cannot do, and what becomes of it."""

import asyncio
import contextlib
import glob
import io
import json
import os
import shutil
import socket
import zipfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import psutil
import pytest
from tests.support.documents import DOCX, PDF, pdf, word

from reverie.documents.base import DocumentOptions, Unreadable
from reverie.documents.media import media_type_of
from reverie.documents.reader import SubprocessReader
from reverie.domain.errors import UnsupportedMedia
from reverie.tools.base import SandboxOptions
from reverie.tools.executors.sandbox import SandboxExecutor


@cache
def bomb(megabytes: int) -> bytes:
    """A DOCX of some kilobytes whose text is very long."""
    whole = zipfile.ZipFile(io.BytesIO(word("x", "PAYLOAD")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in whole.namelist():
            content = whole.read(name)
            if name == "word/document.xml":
                content = content.replace(b"PAYLOAD", b"PAYLOAD " * (megabytes * 131_072))
            copy.writestr(name, content)
    return out.getvalue()


@pytest.fixture(params=["bare", "shut in"])
async def sandbox(request: pytest.FixtureRequest) -> AsyncIterator[SandboxExecutor | None]:
    """What shuts readers in, and nothing, as on machines without bubblewrap."""
    if request.param == "bare":
        yield None
        return
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    executor = SandboxExecutor(SandboxOptions())
    yield executor
    await executor.aclose()


async def test_a_pdf_is_read_by_what_lies_in_the_servers_folder_and_not_by_what_others_left(
    sandbox: SandboxExecutor | None, tmp_path: Path
) -> None:
    reader = SubprocessReader(DocumentOptions(data_dir=str(tmp_path)), sandbox)
    assert (await reader.read(pdf("hello"), PDF, 300)).text == "hello"
    (library,) = glob.glob(f"{tmp_path}/*/kreuzberg-pdfium/*")
    before = os.stat(library)
    assert (await reader.read(pdf("again"), PDF, 300)).text == "again"
    assert os.stat(library).st_ino == before.st_ino
    os.remove(library)  # and nothing else is taken instead
    with pytest.raises(Unreadable, match="Pdfium"):
        await reader.read(pdf("hello"), PDF, 300)


async def test_a_reader_that_is_shut_in_finds_neither_files_nor_environment_nor_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    monkeypatch.setenv("REVERIE_SECRET", "in the environment")
    (tmp_path / "secret").write_text("in a file")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        probe = tmp_path / "probe.py"
        probe.write_text(PROBE.format(secret=str(tmp_path / "secret"), port=listening.getsockname()[1]))
        executor = SandboxExecutor(SandboxOptions())
        command = await executor.enclosed({"/probe.py": str(probe)})
        assert command is not None
        process = await asyncio.create_subprocess_exec(
            *command, "/probe.py", stdout=asyncio.subprocess.PIPE, env={"PATH": os.defpath}
        )
        seen = json.loads((await process.communicate())[0])
        await executor.aclose()
    assert "in the environment" not in seen["environment"]
    assert seen["uid"] == 1000
    assert set(seen["tried"].values()) <= {"FileNotFoundError", "ConnectionRefusedError", "OSError", "PermissionError"}


PROBE = """
import json, os, socket

def tried(what):
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "it worked"

print(json.dumps({{"environment": str(dict(os.environ)), "uid": os.getuid(), "tried": {{
    "read": tried(lambda: open({secret!r}).read()),
    "write": tried(lambda: open("/usr/here", "w")),
    "connect": tried(lambda: socket.create_connection(("127.0.0.1", {port}), 1)),
}}}}))
"""


async def test_a_document_that_eats_memory_ends_its_own_process_only(sandbox: SandboxExecutor | None) -> None:
    reader = SubprocessReader(DocumentOptions(memory_bytes=300_000_000), sandbox)
    with pytest.raises(Unreadable, match=r"memory|crashed|failed|damaged"):
        await reader.read(bomb(150), DOCX, 300)
    assert (await reader.read(b"fine", "text/plain", 300)).text == "fine"


async def test_a_document_that_takes_too_long_is_given_up_and_its_process_is_gone(
    sandbox: SandboxExecutor | None,
) -> None:
    reader = SubprocessReader(DocumentOptions(timeout_s=0.05), sandbox)
    if sandbox is not None:
        await sandbox.report()  # once it is known to work
    with pytest.raises(Unreadable, match=r"longer than 0\.05 s"):
        await reader.read(word("x", *["page " * 200] * 30), DOCX, 300)
    assert _children() == []


async def test_who_stops_waiting_leaves_no_process_behind(sandbox: SandboxExecutor | None) -> None:
    reader = SubprocessReader(DocumentOptions(), sandbox)
    task = asyncio.create_task(reader.read(word("x"), DOCX, 300))
    while not _children():  # noqa: ASYNC110 - nothing tells when another process appears
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _children() == []


async def test_a_text_over_the_limit_is_refused_and_long_lines_are_split() -> None:
    reader = SubprocessReader(DocumentOptions(max_text_chars=10_000))
    with pytest.raises(Unreadable, match="10001 characters"):
        await reader.read(b"x" * 10_001, "text/plain", 300)
    found = await reader.read(b"word " * 2000, "text/plain", 100)
    assert len(found.chunks) > 20
    assert all(len(text) <= 400 for _, text in found.chunks)


async def test_what_cannot_be_stored_is_taken_out_and_line_ends_are_one() -> None:
    found = await SubprocessReader(DocumentOptions()).read("a\r\nb\rc\u2028d\n".encode(), "text/plain", 300)
    assert found.text == "a\nb\nc\nd\n"
    halves = await SubprocessReader(DocumentOptions()).read(b'"\\ud800"', "application/json", 300)
    assert halves.text == '"\\ud800"'


@pytest.mark.parametrize(
    ("name", "declared", "media_type"),
    [
        ("A.PDF", None, PDF),
        ("a.md", "application/octet-stream", "text/markdown"),
        ("Dockerfile", None, "text/x-dockerfile"),
        ("unknown.xyz", "text/plain; charset=utf-8", "text/plain"),
        ("unknown.xyz", "application/yaml", "application/yaml"),
    ],
)
def test_kinds_are_told_by_ending_then_by_what_the_client_says(
    name: str, declared: str | None, media_type: str
) -> None:
    assert media_type_of(name, declared) == media_type


def test_an_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedMedia, match=r"movie\.mp4.*\.mp4"):
        media_type_of("movie.mp4", "video/mp4")


def _children() -> list[str]:
    """The readers that run; what died meanwhile is none."""
    found: list[str] = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is one, too
            if "child.py" in " ".join(child.cmdline()):
                found.append(child.name())
    return found

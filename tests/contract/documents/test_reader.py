"""The process that reads documents: what it cannot do, and what becomes of it."""

import asyncio
import io
import zipfile

import psutil
import pytest
from tests.support.documents import DOCX, PDF, pdf, word

from reverie.documents.base import DocumentOptions, Unreadable
from reverie.documents.media import media_type_of
from reverie.documents.reader import SubprocessReader
from reverie.domain.errors import UnsupportedMedia


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


async def test_a_document_that_eats_memory_ends_its_own_process_only() -> None:
    reader = SubprocessReader(DocumentOptions(memory_bytes=400_000_000))
    with pytest.raises(Unreadable, match=r"memory|crashed|failed|damaged"):
        await reader.read(bomb(300), DOCX, 300)
    assert (await reader.read(b"fine", "text/plain", 300)).text == "fine"


async def test_a_document_that_takes_too_long_is_given_up_and_its_process_is_gone() -> None:
    reader = SubprocessReader(DocumentOptions(timeout_s=0.05))
    with pytest.raises(Unreadable, match=r"longer than 0\.05 s"):
        await reader.read(pdf(*["page " * 200] * 30), PDF, 300)
    assert _children() == []


async def test_who_stops_waiting_leaves_no_process_behind() -> None:
    task = asyncio.create_task(SubprocessReader(DocumentOptions()).read(pdf("x"), PDF, 300))
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
    return [child.name() for child in psutil.Process().children() if "child.py" in " ".join(child.cmdline())]

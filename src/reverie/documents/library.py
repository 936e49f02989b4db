"""What the parser of PDF unpacks for itself, kept so that no document has to be read by a process that may write.

Its native library comes inside another one, which writes it into the folder of temporary files when it first
sees a PDF, and takes whatever lies there under that name the next time. Everybody may write to /tmp.
"""

import asyncio
import importlib.metadata
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from reverie.documents.base import Unreadable

SMALL_PDF: Final = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R
/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Courier>>>>>>>>endobj
4 0 obj<</Length 30>>stream
BT /F 9 Tf 9 9 Td (fine) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
%%EOF"""
"""A page that says something."""


class Library:
    """A folder that nobody else writes to; one for each version of the parser."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir
        self._passing: tempfile.TemporaryDirectory[str] | None = None
        self._folder: Path | None = None
        self._preparing = asyncio.Lock()

    async def prepared(self, unpack: Callable[[Path], Awaitable[None]]) -> Path:
        """The folder, filled by `unpack` if it was not yet.

        Raises:
            Unreadable: that failed.
        """
        async with self._preparing:
            if self._folder is None:
                self._folder = await self._fill(unpack)
        return self._folder

    async def _fill(self, unpack: Callable[[Path], Awaitable[None]]) -> Path:
        try:
            folder = self._top() / f"kreuzberg-{importlib.metadata.version('kreuzberg')}"
            if not folder.is_dir():
                with _beside(folder) as fresh:
                    await unpack(fresh)
                    _take_place(fresh, folder)
        except (OSError, Unreadable) as error:
            raise Unreadable(f"this server cannot read PDF: {error}") from error
        return folder

    def _top(self) -> Path:
        if not self._data_dir and self._passing is None:
            self._passing = tempfile.TemporaryDirectory(prefix="reverie-documents-")
        top = Path(self._passing.name if self._passing else self._data_dir)
        top.mkdir(parents=True, exist_ok=True)
        return top


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder in the same place, which is gone afterwards unless it was moved."""
    fresh = Path(tempfile.mkdtemp(prefix="unpacking-", dir=folder.parent))
    fresh.chmod(0o755)  # a server that runs as root shows it to another user
    try:
        yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _take_place(fresh: Path, folder: Path) -> None:
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another server was quicker
            raise

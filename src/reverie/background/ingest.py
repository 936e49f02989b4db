"""Reads uploaded files: text, passages, vectors. What a process leaves half done another goes on with."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from reverie.background.rounds import Rounds
from reverie.documents.base import DocumentReader, ReadDocument, Unreadable
from reverie.domain.clock import Clock
from reverie.domain.errors import ModelError, NotFound
from reverie.domain.folder import File, FileStatus, Folder
from reverie.models.base import ModelCatalogs
from reverie.storage import agents, file_passages, file_views, files, folders
from reverie.storage.database import Database

log = structlog.get_logger(__name__)

LANES: Final = 2
"""Files worked on at once: while one is read by its process, another waits for the embedding model."""
SLICE: Final = 250
"""Passages stored in one transaction, so that other writers get their turn."""
BATCH: Final = 32
"""Texts embedded in one call."""
MOST_ATTEMPTS: Final = 5
_FIRST_PAUSE_S: Final = 5.0


class Ingest:
    """Works on files until none waits. Crash points: `file_claimed`, `file_parsed`, `file_embedding`."""

    def __init__(
        self,
        database: Database,
        reader: DocumentReader,
        catalogs: ModelCatalogs,
        *,
        worker_id: str,
        clock: Clock,
        fault: Callable[[str], None],
    ) -> None:
        self._database = database
        self._reader = reader
        self._catalogs = catalogs
        self._worker_id = worker_id
        self._clock = clock
        self._fault = fault
        self._busy: set[str] = set()
        self._claiming = asyncio.Lock()

    def rounds(self, interval_s: float) -> Rounds:
        """Rounds that begin at once, with what an earlier process left."""
        rounds = Rounds("ingest", self.work, interval_s)
        rounds.ring()
        return rounds

    async def work(self) -> int:
        """One round; returns how many files were worked on."""
        if not await self._database.read(lambda c: files.any_waiting(c, self._clock())):
            return 0
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(self._lane()) for _ in range(LANES)]
        return sum(lane.result() for lane in lanes)

    async def _lane(self) -> int:
        done = 0
        while (file := await self._claim()) is not None:
            try:
                await self._advance(file)
            finally:
                self._busy.discard(file.id)
            done += 1
        return done

    async def _claim(self) -> File | None:
        # One after the other: what a lane has claimed must count as busy before the other one looks.
        async with self._claiming:
            busy = sorted(self._busy)
            file = await self._database.write(lambda c: files.claim(c, self._worker_id, busy, self._clock()))
            if file is not None:
                self._busy.add(file.id)
            return file

    async def _advance(self, file: File) -> None:
        """Bring a claimed file as far as it gets."""
        self._fault("file_claimed")
        try:
            if file.attempt > MOST_ATTEMPTS:
                await self._fail(file, f"processing was cut off {MOST_ATTEMPTS} times; upload the file again")
                return
            folder = await self._database.read(lambda c: folders.get(c, file.organization_id, file.folder_id))
            if file.status is FileStatus.PARSING:
                file = await self._parse(file, folder)
            if file.status is FileStatus.EMBEDDING:
                await self._embed(file, folder.embedding)
        except Unreadable as reason:
            await self._fail(file, str(reason))
        except ModelError as error:
            await self._try_later(file, error)
        except NotFound as error:
            await self._fail(file, f"no vectors could be made: {error}; it is found by its words")
        except _Lost:
            log.info("file_lost", file_id=file.id)

    async def _parse(self, file: File, folder: Folder) -> File:
        """Read the file and store its passages, then its text with whatever makes it usable."""
        data = await self._database.read(lambda c: files.data(c, file.id))
        if data is None:
            raise Unreadable("its contents were not stored; upload it again")
        found = await self._reader.read(data, file.file_type, folder.embedding_chunk_size)
        now = self._clock()
        await self._write(file, {}, lambda c: file_passages.clear(c, file.id))
        for part in _slices(found):
            await self._write(file, {}, partial(_keep_passages, file, part, now))
            self._fault("file_parsed")
        finishes = folder.embedding is None or not found.chunks
        values: dict[str, Any] = {
            "status": FileStatus.COMPLETED if finishes else FileStatus.EMBEDDING,
            "line_count": found.text.count("\n") + 1,
            "total_chunks": len(found.chunks),
            "chunks_embedded": 0,
        }

        def publish(c: Connection) -> None:
            files.set_text(c, file.id, found.text)
            file_views.open_for_owners(c, file, agents.owners_of_folder(c, file.folder_id), now)

        await self._write(file, values | (_RELEASED if finishes else {}), publish)
        return replace(file, **values)

    async def _embed(self, file: File, handle: str | None) -> None:
        catalog = await self._catalogs.of(file.organization_id)
        embedder = None if handle is None else await catalog.embedder(handle)
        while embedder is not None and (
            batch := await self._database.read(lambda c: file_passages.without_vector(c, file.id, BATCH))
        ):
            vectors = await embedder.embed([text for _, text in batch])
            placed = [(place, vector) for (place, _), vector in zip(batch, vectors, strict=True)]
            await self._write(file, {}, partial(_keep_vectors, file, placed))
            self._fault("file_embedding")
        await self._write(file, {"status": FileStatus.COMPLETED, **_RELEASED}, lambda _: None)

    async def _try_later(self, file: File, error: ModelError) -> None:
        if file.attempt >= MOST_ATTEMPTS or not error.retryable:
            await self._fail(file, f"no vectors could be made: {error}; it is found by its words")
            return
        pause = timedelta(seconds=_FIRST_PAUSE_S * 2 ** (file.attempt - 1))
        await self._settle(file, {"worker_id": None, "not_before": self._clock() + pause})

    async def _fail(self, file: File, reason: str) -> None:
        log.info("file_failed", file_id=file.id, reason=reason)
        await self._settle(file, {"status": FileStatus.ERROR, "error_message": reason, **_RELEASED})

    async def _settle(self, file: File, values: dict[str, Any]) -> None:
        """Change the file for the last time in this attempt; what became of it meanwhile stands."""
        now = self._clock()
        await self._database.write(lambda c: files.change(c, file, {"updated_at": now, **values}))

    async def _write(self, file: File, values: dict[str, Any], more: Callable[[Connection], None]) -> None:
        """Change the file and do `more` in one transaction.

        Raises:
            _Lost: it was removed, changed or taken over, and nothing was done.
        """
        now = self._clock()

        def store(c: Connection) -> None:
            if not files.change(c, file, {"updated_at": now, **values}):
                raise _Lost
            more(c)

        await self._database.write(store)


class _Lost(Exception):
    """The file is not this worker's any more."""


_RELEASED: Final[dict[str, Any]] = {"worker_id": None, "not_before": None, "attempt": 0}


def _keep_passages(file: File, part: Sequence[tuple[int, str]], now: datetime, c: Connection) -> None:
    file_passages.insert_passages(c, file, part, now)


def _keep_vectors(file: File, placed: Sequence[tuple[int, Sequence[float]]], c: Connection) -> None:
    file_passages.add_vectors(c, file, placed)
    files.change(c, file, {"chunks_embedded": file_passages.count_vectors(c, file.id)})


def _slices(found: ReadDocument) -> Iterator[Sequence[tuple[int, str]]]:
    for start in range(0, len(found.chunks), SLICE):
        yield found.chunks[start : start + SLICE]

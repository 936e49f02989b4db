"""The files in an agent's folders, for tools that look into them outside their transaction."""

from collections.abc import Sequence

import structlog

from reverie.domain.agent import Agent
from reverie.domain.errors import ModelError, NotFound
from reverie.domain.folder import FilePassage, FileView
from reverie.domain.passage import SearchHit, SearchQuery
from reverie.models.base import ModelCatalogs
from reverie.storage import file_passages, file_views, files, folders
from reverie.storage.database import Database

log = structlog.get_logger(__name__)


class Library:
    """Implements `tools.base.FileLibrary`; each call is a transaction of its own."""

    def __init__(self, database: Database, catalogs: ModelCatalogs, agent: Agent) -> None:
        self._database = database
        self._catalogs = catalogs
        self._agent = agent

    async def files(self) -> Sequence[FileView]:
        return await self._database.read(lambda c: file_views.everything(c, self._agent.id))

    async def text(self, file_id: str) -> str:
        return (await self._database.read(lambda c: files.texts(c, [file_id]))).get(file_id, "")

    async def search(self, query: str, limit: int) -> Sequence[FilePassage]:
        attached = await self._database.read(lambda c: folders.of_agents(c, [self._agent.id]))
        groups: dict[str | None, list[str]] = {}
        for folder in attached.get(self._agent.id, ()):
            groups.setdefault(folder.embedding, []).append(folder.id)
        found: list[tuple[FilePassage, SearchHit]] = []
        for handle, folder_ids in groups.items():
            found += await self._search_group(folder_ids, handle, query, limit)
        return [passage for passage, _ in sorted(found, key=lambda item: -item[1].score)[:limit]]

    async def _search_group(
        self, folder_ids: Sequence[str], handle: str | None, query: str, limit: int
    ) -> list[tuple[FilePassage, SearchHit]]:
        """Search folders of one embedding model, with a vector of that model."""
        wish = SearchQuery(
            text=query,
            vector=await self._embed(
                handle,
                await self._database.read(
                    lambda c: file_passages.wish(c, self._agent.organization_id, folder_ids, query)
                ),
            ),
            limit=limit,
        )
        organization = self._agent.organization_id
        return await self._database.read(lambda c: file_passages.search(c, organization, folder_ids, wish))

    async def _embed(self, handle: str | None, text: str) -> Sequence[float] | None:
        if handle is None:
            return None
        try:
            catalog = await self._catalogs.of(self._agent.organization_id)
            return (await (await catalog.embedder(handle)).embed([text]))[0]
        except (ModelError, NotFound) as error:
            log.warning("embedding_failed", agent_id=self._agent.id, model=handle, error=str(error))
            return None

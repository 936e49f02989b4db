"""What callers can ask for about the folders of an agent and the files it has open."""

from sqlalchemy import Connection

from reverie.auth.keys import Caller, Scope
from reverie.domain.agent import Agent, AgentDetails
from reverie.domain.folder import FileView, Folder
from reverie.domain.ids import AgentId, FileId, FolderId
from reverie.domain.paging import Page
from reverie.operations.attaching import change_agent
from reverie.operations.base import Operations
from reverie.operations.builtin import ensure_builtin
from reverie.storage import agents, file_views, folders


async def list_folders(ops: Operations, caller: Caller, agent_id: AgentId, page: Page) -> list[Folder]:
    """A page of the agent's folders."""
    caller.require(Scope.READ)

    def read(c: Connection) -> list[Folder]:
        agent = agents.get(c, caller.organization_id, agent_id)
        return folders.list_page(c, caller.organization_id, page, agent_id=agent.id)

    return await ops.database.read(read)


async def attach_folder(ops: Operations, caller: Caller, agent_id: AgentId, folder_id: FolderId) -> AgentDetails:
    """Give the agent a folder, and with its first one the file tools; its files open as far as there is room."""
    caller.require(Scope.WRITE)
    await ensure_builtin(ops, caller.organization_id)
    now = ops.clock()

    def change(c: Connection, agent: Agent) -> None:
        file_views.attach(c, agent, folders.get_many(c, caller.organization_id, [folder_id]), now)

    return await change_agent(ops, caller, agent_id, change)


async def detach_folder(ops: Operations, caller: Caller, agent_id: AgentId, folder_id: FolderId) -> AgentDetails:
    """Take a folder away from the agent, with its views, and with its last one the file tools; the folder stays."""
    return await change_agent(
        ops, caller, agent_id, lambda c, agent: folders.detach(c, caller.organization_id, agent.id, [folder_id])
    )


async def list_files(
    ops: Operations, caller: Caller, agent_id: AgentId, page: Page, *, is_open: bool | None = None
) -> list[FileView]:
    """A page of the files in the agent's folders, as it has them."""
    caller.require(Scope.READ)
    return await ops.database.read(
        lambda c: file_views.page_of_agent(c, agents.get(c, caller.organization_id, agent_id), page, is_open)
    )


async def open_file(ops: Operations, caller: Caller, agent_id: AgentId, file_id: FileId) -> list[str]:
    """Show a file to the agent from its beginning; the names of those that were closed to make room."""
    caller.require(Scope.WRITE)
    now = ops.clock()

    def store(c: Connection) -> list[str]:
        agent = agents.get(c, caller.organization_id, agent_id, lock=True)
        return list(file_views.open_file(c, agent, file_views.get(c, agent, file_id), now).closed)

    return await ops.database.write(store)


async def close_file(ops: Operations, caller: Caller, agent_id: AgentId, file_id: FileId) -> None:
    """Take a file out of the agent's sight; nothing happens when it is closed already."""
    caller.require(Scope.WRITE)

    def store(c: Connection) -> None:
        agent = agents.get(c, caller.organization_id, agent_id, lock=True)
        file_views.close(c, agent.id, only=file_views.get(c, agent, file_id).file_id)

    await ops.database.write(store)


async def close_all(ops: Operations, caller: Caller, agent_id: AgentId) -> list[str]:
    """Close all files of the agent; the names of those that were open."""
    caller.require(Scope.WRITE)

    def store(c: Connection) -> list[str]:
        agent = agents.get(c, caller.organization_id, agent_id, lock=True)
        return file_views.close(c, agent.id)

    return await ops.database.write(store)

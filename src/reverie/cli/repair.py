"""`reverie doctor --repair`: mends histories of the whole database that were damaged elsewhere."""

import asyncio
from contextlib import ExitStack

from rich.console import Console
from rich.markup import escape

from reverie.cli.serve import prepare_data_dir
from reverie.config import Settings
from reverie.domain.clock import utc_now
from reverie.domain.repair import Fault
from reverie.runs.repair import Mender
from reverie.runs.workers import Worker
from reverie.storage import conversations
from reverie.storage.database import Database
from reverie.storage.file_lock import hold_file
from reverie.storage.migrate import bring_up_to_date


def run(settings: Settings) -> int:
    """Mend what is wrong and say what it was. On SQLite no server may run meanwhile."""
    console = Console(highlight=False)
    faults = asyncio.run(mend(settings))
    for fault in faults:
        where = fault.tool_call_id or fault.message_id or fault.run_id or ""
        what = f"{fault.conversation_id} {fault.kind.value} {where}".rstrip()
        console.print(f"{escape(what)}: {escape(fault.remedy)}", soft_wrap=True)
    console.print(f"{len(faults)} faults mended." if faults else "Every history is whole; nothing was changed.")
    return 0


async def mend(settings: Settings) -> list[Fault]:
    """Look through all conversations, each in a transaction of its own, and mend them."""
    prepare_data_dir(settings.data_dir)
    database = Database(settings.database_options())
    with ExitStack() as stack:
        try:
            if database.sqlite_path is not None:
                stack.enter_context(hold_file(database.sqlite_path))
            await bring_up_to_date(settings.database_options())
            mender = Mender(worker=Worker.here(), clock=utc_now, alone=database.sqlite_path is not None)
            found = await database.read(conversations.all_threads)
            return [fault for owner, thread in found for fault in await mender.look(database, owner, thread, False)]
        finally:
            await database.close()

from collections.abc import AsyncIterator, Iterator

import pytest

from reverie.operations.base import Operations
from reverie.storage.database import Database
from tests.support.databases import database_urls, opened
from tests.support.operations import operations_on


@pytest.fixture
def url(database: str) -> Iterator[str]:
    with database_urls(database) as fresh:
        yield fresh


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    async with opened(url) as database:
        yield database


@pytest.fixture
def ops(db: Database) -> Operations:
    return operations_on(db)

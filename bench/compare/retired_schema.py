"""Makes the retired server's tables. Run by its own Python: `retired_schema.py SOCKET_FOLDER DATABASE`.

Its package comes without its migrations. Its ORM knows the tables; the sequence behind the order of messages
stood in a migration only.
"""

import sys

import letta.orm  # noqa: F401  # registers the tables
from letta.orm.base import Base
from sqlalchemy import create_engine, text

folder, database = sys.argv[1:]
engine = create_engine(
    f"postgresql+pg8000://postgres@/{database}", connect_args={"unix_sock": f"{folder}/.s.PGSQL.5432"}
)
with engine.begin() as connection:
    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    Base.metadata.create_all(connection)
    connection.execute(text("CREATE SEQUENCE message_seq_id"))
    connection.execute(text("ALTER TABLE messages ALTER sequence_id SET DEFAULT nextval('message_seq_id')"))

"""Search by words and by meaning, fused, on both databases.

| Module | What it does |
| --- | --- |
| `corpora.py` | what is searched, and where a search may look |
| `backends.py` | what SQLite and PostgreSQL search with |
| `indexing.py` | how texts and vectors get in and out |
| `sampling.py` | which words are common where a search looks |
| `lists.py` | asks the indexes: who holds which word, whose signs are near |
| `signs.py` | which of very many vectors are worth measuring |
| `finding.py` | searches |
| `fusing.py` | makes one ranking of both |
"""

from reverie.storage.search.backends import vector_length, vector_support, vectors_missing
from reverie.storage.search.finding import (
    file_wish,
    message_wish,
    passage_wish,
    passages_by_words,
    rank_messages,
    search_files,
    search_messages,
    search_passages,
    search_tools,
    tool_wish,
)
from reverie.storage.search.fusing import Scores
from reverie.storage.search.indexing import (
    add_file_vectors,
    add_message_vectors,
    add_passage_vectors,
    add_tool_vectors,
    drop_archive_vectors,
    drop_folder_vectors,
    drop_foreign_message_vectors,
    index_vectors,
    reindex_message,
    store_messages,
)

__all__ = [
    "Scores",
    "add_file_vectors",
    "add_message_vectors",
    "add_passage_vectors",
    "add_tool_vectors",
    "drop_archive_vectors",
    "drop_folder_vectors",
    "drop_foreign_message_vectors",
    "file_wish",
    "index_vectors",
    "message_wish",
    "passage_wish",
    "passages_by_words",
    "rank_messages",
    "reindex_message",
    "search_files",
    "search_messages",
    "search_passages",
    "search_tools",
    "store_messages",
    "tool_wish",
    "vector_length",
    "vector_support",
    "vectors_missing",
]

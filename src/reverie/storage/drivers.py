"""Which SQLite this machine has: the one with loadable extensions, if any."""

import math
import sqlite3
from array import array
from operator import mul
from types import ModuleType
from typing import Any

import sqlite_vec

try:
    import pysqlite3
except ImportError:  # no wheel for this platform; the standard module serves, without vectors in the index
    pysqlite3 = None


def sqlite_driver() -> ModuleType:
    """The module to connect with: many Pythons are built without `enable_load_extension`."""
    if not hasattr(sqlite3.Connection, "enable_load_extension") and pysqlite3 is not None:
        return pysqlite3.dbapi2  # type: ignore[no-any-return]
    return sqlite3


def load_vector_extension(connection: Any) -> bool:
    """Load sqlite-vec into `connection`.

    False where this SQLite loads no extensions: its one function that we need is then Python's,
    slower and otherwise the same.
    """
    if not hasattr(connection, "enable_load_extension"):
        connection.create_function("vec_distance_cosine", 2, _cosine_distance, deterministic=True)
        return False
    connection.enable_load_extension(True)
    try:
        sqlite_vec.load(connection)
    finally:
        connection.enable_load_extension(False)
    return True


def _cosine_distance(first: bytes, second: bytes) -> float:
    a, b = array("f", first), array("f", second)
    product = sum(map(mul, a, b))
    length = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return 1.0 - product / length if length else 1.0

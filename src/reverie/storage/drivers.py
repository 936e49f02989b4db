"""Which SQLite this machine has: the one with loadable extensions, if any."""

import importlib.util
import math
import sqlite3
from array import array
from functools import cache
from operator import mul
from types import ModuleType
from typing import Any

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

    False where this SQLite loads no extensions: the functions of it that we need are then
    Python's, slower and otherwise the same.
    """
    path = _vector_extension()
    if path is None or not hasattr(connection, "enable_load_extension"):
        connection.create_function("vec_distance_cosine", 2, _cosine_distance, deterministic=True)
        connection.create_function("vec_bit", 1, bytes, deterministic=True)
        connection.create_function("vec_distance_hamming", 2, _bits_apart, deterministic=True)
        return False
    connection.enable_load_extension(True)
    try:
        connection.load_extension(path)
    finally:
        connection.enable_load_extension(False)
    return True


@cache
def _vector_extension() -> str | None:
    """Where sqlite-vec lies. Found, not imported: its Python part imports NumPy, which takes 80 ms and 11 MB."""
    spec = importlib.util.find_spec("sqlite_vec")
    folders = spec.submodule_search_locations if spec is not None else None
    return f"{folders[0]}/vec0" if folders else None


def _cosine_distance(first: bytes, second: bytes) -> float:
    a, b = array("f", first), array("f", second)
    product = sum(map(mul, a, b))
    length = math.sqrt(sum(map(mul, a, a)) * sum(map(mul, b, b)))
    return 1.0 - product / length if length else 1.0


def _bits_apart(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()

"""An idle server has loaded only what it serves with: start time and memory are promises."""

import subprocess
import sys

HEAVY = (
    "numpy",
    "sqlalchemy.orm",
    "sqlalchemy.ext.asyncio",
    "asyncpg",
    "alembic",
    "pydantic_ai",
    "openai",
    "anthropic",
    "google.genai",
    "boto3",
    "onnxruntime",
    "tokenizers",
    "genai_prices",
    "jsonschema",
    "letta_client",
    "kreuzberg",
    "semchunk",
)
PROGRAM = f"""
import sys
import reverie.cli.main, reverie.config, reverie.cli.serve, reverie.wiring
import reverie.storage.sqlite
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_a_server_over_sqlite_starts_without_heavy_libraries() -> None:
    loaded = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"

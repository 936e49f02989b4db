import subprocess
import sys
from pathlib import Path

import pytest

from reverie import __version__


def reverie(*arguments: str | Path, code: int = 0) -> str:
    """What the command printed; stderr when it was refused."""
    done = subprocess.run(
        [sys.executable, "-m", "reverie", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_version_is_one_line() -> None:
    assert reverie("version") == f"reverie {__version__}\n"


def test_version_and_help_load_neither_settings_nor_server() -> None:
    heavy = "{'fastapi', 'sqlalchemy', 'uvicorn', 'pydantic'}"
    source = f"import sys, reverie.cli.main; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_key_is_made_listed_and_ended(tmp_path: Path) -> None:
    token = reverie("keys", "create", "laptop", "--data-dir", tmp_path).strip()
    assert token.startswith("sk-rev-")
    listed = reverie("keys", "list", "--data-dir", tmp_path)
    assert "laptop" in listed
    assert token not in listed
    key_id = next(word for word in listed.split() if word.startswith("key-"))
    assert "opens nothing any more" in reverie("keys", "revoke", key_id, "--data-dir", tmp_path)
    assert "revoked" in reverie("keys", "list", "--data-dir", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["serve", "--port", "0"], "--port"),
        (["serve", "--database-url", "mysql://h/d"], "postgresql://"),
        (["serve", "--env-file", "/nowhere"], "/nowhere"),
        (["serve", "--data-dir", "/dev/null/x"], "--data-dir"),
        (["keys", "revoke", "key-none"], "key-none"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(tmp_path: Path, arguments: list[str], word: str) -> None:
    more = [] if "--data-dir" in arguments else ["--data-dir", str(tmp_path)]
    text = reverie(*arguments, *more, code=2)
    assert word in text
    assert "Traceback" not in text
    assert len(text.splitlines()) <= 10

"""`reverie keys`, as a person types it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reverie.auth.keys import TOKEN_PREFIX
from reverie.cli.keys import end_of
from reverie.cli.main import app
from reverie.domain.errors import InvalidInput

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def reverie(folder: Path, *words: str) -> str:
    done = CliRunner().invoke(app, ["keys", *words, "--data-dir", str(folder)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("30d", "2026-12-01 12:00"),
        ("12h", "2026-11-02 00:00"),
        ("8w", "2026-12-27 12:00"),
        ("2027-01-31", "2027-02-01 00:00"),
        ("2026-11-01T14:00+01:00", "2026-11-01 13:00"),
    ],
)
def test_an_end_is_a_span_or_a_date(text: str, end: str) -> None:
    assert f"{end_of(text, NOW):%Y-%m-%d %H:%M}" == end


@pytest.mark.parametrize("text", ["soon", "30", "2026-10-31", "2026-13-01", "99999999999d", ""])
def test_what_is_no_end_or_has_passed_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(InvalidInput, match="give"):
        end_of(text, NOW)


def test_a_key_has_a_name_an_organisation_scopes_and_an_end_and_is_shown_once(tmp_path: Path) -> None:
    token = reverie(tmp_path, "create", "ci", "--organization", "acme", "--scope", "read", "--scope", "tools",
                    "--expires", "30d").strip().splitlines()[-1]  # fmt: skip
    assert token.startswith(TOKEN_PREFIX)
    reverie(tmp_path, "create", "laptop")
    shown = reverie(tmp_path, "list")
    assert token not in shown
    ours, acmes = shown.splitlines()
    assert "  default  write,tools  " in ours
    assert "  open  laptop" in ours
    assert "  acme  read,tools  " in acmes
    assert "  open until " in acmes
    assert reverie(tmp_path, "list", "--organization", "acme").splitlines() == [acmes]


def test_a_key_of_any_organisation_is_ended_by_its_id(tmp_path: Path) -> None:
    reverie(tmp_path, "create", "ci", "--organization", "acme")
    key_id = reverie(tmp_path, "list").split()[0]
    assert key_id in reverie(tmp_path, "revoke", key_id)
    assert "  revoked " in reverie(tmp_path, "list")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("list", "--organization", "nobody"), "'nobody' does not exist"),
        (("revoke", "key-1"), "'key-1' does not exist"),
        (("create", "x", "--expires", "soon"), "--expires is 'soon'"),
        (("create", "x", "--organization", " "), "name of an organisation is empty"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, ["keys", *words, "--data-dir", str(tmp_path)])
    assert done.exit_code == 2
    assert told in done.output

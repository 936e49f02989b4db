"""What README.md shows is run: programs against a real server, commands up to their options."""

import re
from pathlib import Path

import pytest
from tests.docs.conftest import Run
from tests.support.provider import Provider
from tests.support.replies import call, say
from tests.support.server import ROOT, Server
from typer.testing import CliRunner

from reverie.cli.main import app as cli

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "examples" / "README.md", ROOT / "examples" / "chat-app" / "README.md"]
FACT = "Ada works on octopuses."
REMEMBER = call("memory_replace", label="human", old_string="Nothing is known about the user yet.", new_string=FACT)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Where the page leads to, other sites apart; code has no links."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\((?!https?://|#)([^)#]+)", prose)


def words(page: Path) -> list[list[str]]:
    """The commands of a page's shell blocks, without their comments."""
    lines = [line.partition("#")[0].split() for block in blocks(page, "sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_first_program(run_python: Run, page_server: Server, provider: Provider, tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    program = tmp_path / "first.py"
    program.write_text(block.replace("http://localhost:8283", page_server.url))
    provider.script(REMEMBER, say("Hello, Ada."))
    assert run_python(program) == f"Hello, Ada.\n{FACT}\n"


def test_the_first_program_in_typescript(
    run_typescript: Run, page_server: Server, provider: Provider, tmp_path: Path
) -> None:
    (block,) = blocks(ROOT / "README.md", "typescript")
    program = tmp_path / "first.ts"
    program.write_text(block.replace("http://localhost:8283", page_server.url))
    provider.script(REMEMBER, say("Hello, Ada."))
    assert run_typescript(program) == f"{FACT}\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in words(page):
        if line[0] == "make":
            assert line[1] in targets
        elif line[0] == "reverie" or line[0].endswith("bin/reverie"):
            assert CliRunner().invoke(cli, [*line[1:], "--help"]).exit_code == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page.is_dir():
            ahead += page.glob("*.md")
        elif page.suffix == ".md" and page.exists() and page not in seen:
            seen.add(page)
            ahead += [(page.parent / link).resolve() for link in links(page)]
    assert {page for page in PAGES if page not in seen} == set()

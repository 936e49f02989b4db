"""The programs on the pages of docs/ are run, one program for each page and language, in the order of the page.

- Python and TypeScript blocks share one namespace; so do shell blocks that use curl.
- `<!-- python … -->` (or `typescript`, `bash`) is set-up that readers are not bothered with.
- `<!-- model … -->` has what the model replies, as lines of JSON (`tests.support.replies.answer_from_json`), and
  `<!-- model python … -->` what it replies to that language only.
- What a block titled "Output" shows must have been printed.
"""

import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.docs.conftest import Run
from tests.support.provider import Provider
from tests.support.replies import Answer, answer_from_json
from tests.support.server import ROOT, Server

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S)
HIDDEN = re.compile(r"^<!-- (?P<language>python|typescript|bash)\n(?P<code>.*?)^-->$", re.M | re.S)
MODEL = re.compile(r"^<!-- model ?(?P<language>\w*)\n(?P<replies>.*?)^-->$", re.M | re.S)
SUFFIX = {"python": "py", "typescript": "ts", "bash": "sh"}


@dataclass(frozen=True)
class Program:
    """All blocks of one language on one page."""

    page: Path
    language: str

    @property
    def text(self) -> str:
        """The blocks, with each line where it stands on the page, so that errors name the page's lines."""
        whole = self.page.read_text()
        lines = [""] * (whole.count("\n") + 1)
        for block in sorted([*FENCE.finditer(whole), *HIDDEN.finditer(whole)], key=lambda found: found.start()):
            if block["language"] == self.language:
                start = whole.count("\n", 0, block.start("code"))
                code = textwrap.dedent(block["code"]).rstrip("\n").split("\n")
                lines[start : start + len(code)] = code
        return "\n".join(lines)

    def replies(self) -> Iterator[Answer]:
        for found in MODEL.finditer(self.page.read_text()):
            if found["language"] in ("", self.language):
                for line in found["replies"].strip().splitlines():
                    yield answer_from_json(json.loads(line), {})

    def outputs(self) -> list[str]:
        """What stands under "Output" after a block of this language, or after tabs of which one is of this language."""
        found: list[str] = []
        above: set[str] = set()
        after_tabs = False
        for block in FENCE.finditer(self.page.read_text()):
            if 'title="Output"' in block["info"]:
                found += textwrap.dedent(block["code"]).splitlines() if self.language in above else []
                above = set()
            elif block["language"] in SUFFIX:
                above = {block["language"], *(above if block["indent"] and after_tabs else ())}
            after_tabs = bool(block["indent"])
        return found


PROGRAMS = [
    Program(page, language)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for language in SUFFIX
    if re.search(rf"^( *```|<!-- ){language}\b", page.read_text(), re.M)
]


@pytest.fixture(autouse=True)
def tidy(page_server: Server) -> Iterator[None]:
    yield
    client = page_server.client
    for agent in client.agents.list().items:
        client.agents.delete(agent.id)
    for block in client.blocks.list(limit=200).items:
        client.blocks.delete(block.id)
    for folder in client.folders.list().items:
        client.folders.delete(folder.id)
    for server in client.mcp_servers.list():
        client.mcp_servers.delete(str(server.id))
    for tool in [tool for tool in client.tools.list() if tool.tool_type == "custom"]:
        client.tools.delete(tool.id)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: f"{program.page.stem}-{program.language}")
def test_the_programs_of_a_page(
    program: Program, page_server: Server, provider: Provider, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / f"{program.page.stem}.{SUFFIX[program.language]}"
    file.write_text(program.text.replace("http://localhost:8283", page_server.url))
    provider.script(*program.replies())
    if program.language == "bash":
        printed = _shell(file)
    else:
        run: Run = request.getfixturevalue(f"run_{program.language}")
        printed = run(file)
    assert provider.unused == 0, f"the model was asked less often than the page says; printed:\n{printed}"
    missing = [line for line in program.outputs() if line not in printed]
    assert missing == [], f"printed instead:\n{printed}"


def _shell(file: Path) -> str:
    if shutil.which("curl") is None:
        pytest.skip("no curl here; the shell programs of the pages are not run")
    command = ["bash", "-euo", "pipefail", str(file)]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_files_that_a_page_quotes_are_quoted_as_they_are() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in FENCE.finditer(page.read_text()):
            if quoted := re.search(r'title="(deploy/[^"]+)"', block["info"]):
                assert textwrap.dedent(block["code"]) == (ROOT / quoted[1]).read_text(), f"{page.name}: {quoted[1]}"

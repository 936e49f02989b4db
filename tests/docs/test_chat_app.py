"""examples/chat-app in a real browser: what a visitor sees, and what reached the model."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.conftest import MODEL
from tests.support.browser import Page, browser_path, open_browser
from tests.support.provider import Provider
from tests.support.replies import call, fail, reply, say
from tests.support.server import ROOT, Server, free_port

APP = ROOT / "examples" / "chat-app"
FACT = "Ada studies octopuses in Lisbon, and never starts work before ten."
REMEMBER = call("memory_replace", label="human", old_string="Nothing is known about them yet.", new_string=FACT)
LONG = "https://example.org/" + "octopus" * 40


@pytest.fixture
def app_url(page_server: Server) -> Iterator[str]:
    port = str(free_port())
    environment = {**os.environ, "REVERIE_URL": page_server.url, "REVERIE_MODEL": MODEL, "PORT": port}
    process = subprocess.Popen([sys.executable, str(APP / "app.py")], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=60) as http:
            while process.poll() is None:
                with contextlib.suppress(httpx.ConnectError):
                    http.get("/")
                    break
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        for agent in page_server.client.agents.list(tags=["chat-app"]).items:
            page_server.client.agents.delete(agent.id)


@pytest.fixture
def page() -> Iterator[Page]:
    path = browser_path()
    if path is None:
        pytest.skip("no Chromium here; examples/chat-app is not opened (Debian: apt-get install chromium)")
    with open_browser(path) as page:
        yield page


def test_a_visitor_talks_is_remembered_and_forgotten(
    app_url: str, page: Page, page_server: Server, provider: Provider, tmp_path: Path
) -> None:
    pictures = Path(os.environ.get("REVERIE_PICTURES", tmp_path))
    page.resize(1180, 760)
    page.open(app_url)
    page.wait_for("document.querySelector('#welcome h2')?.checkVisibility() && !!document.querySelector('.block')")
    (pictures / "welcome.png").write_bytes(page.screenshot())

    # The answer grows while it is written; memory changes before it ends.
    gate = provider.gate("half")
    provider.script(REMEMBER, reply(say("Nice to meet you, "), gate, say("Ada! How many hearts has one?")))
    page.wait_for("document.activeElement.id == 'text'")
    page.type("Hi! I'm Ada. I study octopuses in Lisbon, and I never start work before ten.")
    page.press_enter()
    page.wait_for("document.querySelector('.agent p')?.textContent == 'Nice to meet you, '")
    assert page.evaluate("document.getElementById('block-human').value") == FACT
    assert "writing to its memory" in page.evaluate("document.querySelector('.agent .tools').textContent")
    assert page.evaluate("document.getElementById('send').ariaLabel") == "Stop"
    (pictures / "writing.png").write_bytes(page.screenshot())
    gate.release()
    page.wait_for("document.querySelector('.agent p').textContent.endsWith('hearts has one?')")
    page.wait_for("!document.body.matches('.busy')")

    # A visitor corrects the memory; markup and long words stay words and inside the page.
    page.evaluate("document.getElementById('block-human').focus()")
    page.evaluate("document.getElementById('block-human').value = 'Ada studies squid.'")
    page.evaluate("document.getElementById('text').focus()")
    provider.script(say(f"Three! <b>Look</b> at {LONG}"))
    page.wait_for("document.querySelector('[data-label=human]').dataset.value == 'Ada studies squid.'")
    page.type("Three?")
    page.press_enter()
    page.wait_for("document.body.innerText.includes('<b>Look</b>') && !document.body.matches('.busy')")
    assert "Ada studies squid." in provider.requests[-1].system
    for width, dark, name in ((1180, True, "dark"), (390, False, "narrow")):
        page.resize(width, 760, dark=dark)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"
        (pictures / f"{name}.png").write_bytes(page.screenshot())
    page.evaluate("document.getElementById('toggle').click()")
    (pictures / "narrow-memory.png").write_bytes(page.screenshot())
    page.evaluate("document.getElementById('toggle').click()")

    # An answer that fails says so, and the talk goes on after a reload.
    provider.script(fail(401, "the key is wrong"))
    page.type("Still there?")
    page.press_enter()
    page.wait_for("document.querySelector('.wrong p')?.textContent && !document.body.matches('.busy')")
    page.open(app_url)
    page.wait_for("document.querySelectorAll('#talk .you').length == 3")
    assert page.evaluate("document.querySelector('#welcome').checkVisibility()") is False

    # Another visitor has another agent; forgetting deletes one's own.
    with httpx.Client(base_url=app_url, timeout=20) as other:
        assert other.get("/api/talk").status_code == 401
        other.get("/")
        assert other.get("/api/talk").json()["said"] == []
        assert len(page_server.client.agents.list(tags=["chat-app"]).items) == 2
        other.delete("/api/talk")
    page.evaluate("window.confirm = () => true; document.getElementById('forget').click()")
    page.wait_for("document.querySelector('#welcome h2')?.checkVisibility()")
    assert page.complaints == []

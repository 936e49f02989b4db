"""Providers of models: which variables configure each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from reverie.config.fields import web_url
from reverie.config.problem import SettingsProblem
from reverie.models.base import ProviderOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderVariables:
    """Which variables configure one provider."""

    name: str
    """First part of its handles."""
    type: str
    key: tuple[str, ...] = ()
    url: tuple[str, ...] = ()
    needs: Literal["key", "url", "either", "all"] = "key"
    """What must be set for the provider to be on; `all` means every variable without a default."""
    openai_path: bool = False
    """The address is completed with `/v1` where that is missing."""
    access_key: str | None = None
    region: tuple[str, ...] = ()
    default_region: str | None = None
    project: str | None = None
    version: str | None = None
    default_version: str | None = None
    handle_base: str | None = None
    """Variable that renames the provider in handles."""

    def variables(self) -> tuple[str, ...]:
        """Every variable that is looked at."""
        rest = (self.access_key, self.project, self.version, self.handle_base)
        return (*self.key, *self.url, *self.region, *(name for name in rest if name))


def _keyed(name: str, prefix: str, **more: Any) -> ProviderVariables:
    return ProviderVariables(name=name, type=name, key=(f"{prefix}_API_KEY",), url=(f"{prefix}_BASE_URL",), **more)


# Names in handles and variables as people have them in the `.env` files of the retired server.
# Source: its settings and its list of provider types, read 2026-11.
PROVIDERS: Final[tuple[ProviderVariables, ...]] = (
    ProviderVariables(
        name="openai",
        type="openai",
        key=("OPENAI_API_KEY",),
        url=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        needs="either",
    ),
    _keyed("anthropic", "ANTHROPIC"),
    ProviderVariables(
        name="google_ai", type="google_ai", key=("GEMINI_API_KEY", "GOOGLE_API_KEY"), url=("GEMINI_BASE_URL",)
    ),
    ProviderVariables(
        name="google_vertex",
        type="google_vertex",
        project="GOOGLE_CLOUD_PROJECT",
        region=("GOOGLE_CLOUD_LOCATION",),
        needs="all",
    ),
    ProviderVariables(
        name="azure",
        type="azure",
        key=("AZURE_API_KEY",),
        url=("AZURE_BASE_URL",),
        version="AZURE_API_VERSION",
        default_version="2024-09-01-preview",
        needs="all",
    ),
    ProviderVariables(
        name="bedrock",
        type="bedrock",
        access_key="AWS_ACCESS_KEY_ID",
        key=("AWS_SECRET_ACCESS_KEY",),
        region=("AWS_DEFAULT_REGION", "AWS_REGION"),
        default_region="us-east-1",
        needs="all",
    ),
    ProviderVariables(name="ollama", type="ollama", url=("OLLAMA_BASE_URL",), key=("OLLAMA_API_KEY",), needs="url"),
    ProviderVariables(
        name="lmstudio_openai",
        type="lmstudio_openai",
        url=("LMSTUDIO_BASE_URL",),
        key=("LMSTUDIO_API_KEY",),
        needs="url",
        openai_path=True,
    ),
    ProviderVariables(
        name="vllm",
        type="vllm",
        url=("VLLM_API_BASE",),
        key=("VLLM_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="VLLM_HANDLE_BASE",
    ),
    ProviderVariables(
        name="sglang",
        type="sglang",
        url=("SGLANG_API_BASE",),
        key=("SGLANG_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="SGLANG_HANDLE_BASE",
    ),
    ProviderVariables(
        name="llamacpp",
        type="llamacpp",
        url=("LLAMACPP_BASE_URL",),
        key=("LLAMACPP_API_KEY",),
        needs="url",
        openai_path=True,
        handle_base="LLAMACPP_HANDLE_BASE",
    ),
    _keyed("openrouter", "OPENROUTER", handle_base="OPENROUTER_HANDLE_BASE"),
    _keyed("groq", "GROQ"),
    _keyed("together", "TOGETHER"),
    _keyed("deepseek", "DEEPSEEK"),
    _keyed("xai", "XAI"),
    _keyed("mistral", "MISTRAL"),
    _keyed("zai", "ZAI"),
    _keyed("minimax", "MINIMAX"),
    _keyed("moonshot", "MOONSHOT"),
    ProviderVariables(
        name="fireworks",
        type="fireworks",
        key=("FIREWORKS_API_KEY",),
        url=("FIREWORKS_BASE_URL", "FIREWORKS_API_BASE"),
    ),
    _keyed("cerebras", "CEREBRAS"),
    _keyed("baseten", "BASETEN"),
    ProviderVariables(name="hugging-face", type="hugging-face", key=("HF_TOKEN",), url=("HF_BASE_URL",)),
)


def providers_of(values: Mapping[str, str]) -> tuple[ProviderOptions, ...]:
    """The providers whose variables are set, in the order of `PROVIDERS`.

    Raises:
        SettingsProblem: an address that is none.
    """
    found = (_provider(variables, values) for variables in PROVIDERS)
    return tuple(provider for provider in found if provider is not None)


def _provider(spec: ProviderVariables, values: Mapping[str, str]) -> ProviderOptions | None:
    def first(names: Sequence[str]) -> str | None:
        return next((values[name] for name in names if name in values), None)

    key, url, region = first(spec.key), first(spec.url), first(spec.region)
    if not _is_on(spec, values, key, url, region):
        return None
    if url is not None:
        try:
            url = web_url(url)
        except ValueError as error:
            name = next(name for name in spec.url if name in values)
            raise SettingsProblem(f"{name} is {url!r}, but {error}") from None
        if spec.openai_path and not url.endswith("/v1"):
            url += "/v1"
    return ProviderOptions(
        name=values.get(spec.handle_base or "", spec.name),
        type=spec.type,
        base_url=url,
        api_key=key,
        api_version=values.get(spec.version, spec.default_version) if spec.version else None,
        region=region or spec.default_region,
        project=values.get(spec.project) if spec.project else None,
        access_key=values.get(spec.access_key) if spec.access_key else None,
    )


def _is_on(
    spec: ProviderVariables, values: Mapping[str, str], key: str | None, url: str | None, region: str | None
) -> bool:
    match spec.needs:
        case "key":
            return key is not None
        case "url":
            return url is not None
        case "either":
            return key is not None or url is not None
        case "all":
            wanted = [
                key if spec.key else "-",
                url if spec.url else "-",
                region or spec.default_region if spec.region else "-",
                values.get(spec.project) if spec.project else "-",
                values.get(spec.access_key) if spec.access_key else "-",
            ]
            return None not in wanted

from ipaddress import ip_network
from pathlib import Path

import pytest

from reverie.config import (
    PROVIDERS,
    Settings,
    SettingsProblem,
    describe_settings,
    is_loopback,
    load_settings,
    unknown_variable_hint,
)
from reverie.models.base import ProviderOptions


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A shell in which nothing of ours is set, in a directory without a `.env`."""
    names = {name for setting in describe_settings() for name in setting.names}
    for name in names | {name for provider in PROVIDERS for name in provider.variables()}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def providers(monkeypatch: pytest.MonkeyPatch, **variables: str) -> tuple[ProviderOptions, ...]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings().model_options().providers


def problem(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsProblem) as caught:
        providers(monkeypatch, **variables)
    return str(caught.value)


def test_without_any_setting_the_server_is_local_and_keeps_its_data_in_a_file(tmp_path: Path) -> None:
    settings = load_settings({"data_dir": tmp_path})
    assert (settings.host, settings.port) == ("127.0.0.1", 8283)
    assert not settings.keys_required
    assert settings.database_options().url == f"sqlite:///{tmp_path}/reverie.db"
    assert settings.model_options().providers == ()


def test_the_command_line_beats_the_environment_and_that_beats_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("REVERIE_PORT=1111\nREVERIE_HOST=::1\nREVERIE_LEASE_S=7\n")
    monkeypatch.setenv("REVERIE_PORT", "2222")
    monkeypatch.setenv("REVERIE_HOST", "localhost")
    settings = load_settings({"port": 3333, "host": None})
    assert (settings.port, settings.host, settings.lease_s) == (3333, "localhost", 7.0)


def test_a_named_settings_file_is_read_instead_of_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REVERIE_PORT=1111")
    (tmp_path / "other").write_text("REVERIE_PORT=2222\nOPENAI_API_KEY=sk-1\nREVERIE_DATA_DIR=~/elsewhere")
    settings = load_settings(env_file=tmp_path / "other")
    assert settings.port == 2222
    assert settings.data_dir == Path.home() / "elsewhere"
    assert [provider.api_key for provider in settings.providers()] == ["sk-1"]


def test_a_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match="nowhere"):
        load_settings(env_file=tmp_path / "nowhere")


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_PORT", "")
    assert providers(monkeypatch, OPENAI_API_KEY="") == ()
    assert load_settings().port == 8283


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("LETTA_SERVER_PASSWORD", "pw", "api_key", "pw"),
        ("LETTA_ENCRYPTION_KEY", "k", "encryption_key", "k"),
        ("TOOL_SANDBOX_TIMEOUT", "20", "tool_timeout_s", 20.0),
        ("MCP_DISABLE_STDIO", "true", "mcp_disable_stdio", True),
        ("LETTA_DEFAULT_LLM_HANDLE", "a/b", "default_model", "a/b"),
        ("ACCEPTABLE_ORIGINS", "http://a, http://b", "allowed_origins", ("http://a", "http://b")),
        ("REVERIE_CONTEXT_WINDOWS", "ollama/x:7b=4096, a/b=1", "context_windows", {"ollama/x:7b": 4096, "a/b": 1}),
        ("REVERIE_CONTEXT_WINDOWS", '{"a/b": 1}', "context_windows", {"a/b": 1}),
        (
            "REVERIE_ALLOWED_NETWORKS",
            "10.1.2.3, fd12::/64",
            "allowed_networks",
            (ip_network("10.1.2.3"), ip_network("fd12::/64")),
        ),
    ],
)
def test_variables_are_understood(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, meaning: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), field) == meaning


def test_private_addresses_are_open_on_loopback_or_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().web_options().allow_private
    assert not load_settings({"host": "0.0.0.0"}).web_options().allow_private
    monkeypatch.setenv("REVERIE_ALLOW_PRIVATE_ADDRESSES", "true")
    assert load_settings({"host": "0.0.0.0"}).web_options().allow_private
    monkeypatch.setenv("REVERIE_ALLOW_PRIVATE_ADDRESSES", "false")
    assert not load_settings().web_options().allow_private


def test_a_range_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_ALLOWED_NETWORKS", "10.0.0.0/8,inside.example")
    with pytest.raises(SettingsProblem, match=r"REVERIE_ALLOWED_NETWORKS is .*inside\.example"):
        load_settings()


def test_our_own_name_beats_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_SERVER_PASSWORD", "old")
    monkeypatch.setenv("REVERIE_API_KEY", "ours")
    assert load_settings().api_key == "ours"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+pg8000://u:p%40@h/d", "postgresql://u:p%40@h/d"),
        ("postgresql://u:p@h/d?sslmode=require&channel_binding=require", "postgresql://u:p@h/d?ssl=require"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_every_spelling_of_a_database_url_is_understood(monkeypatch: pytest.MonkeyPatch, given: str, url: str) -> None:
    monkeypatch.setenv("LETTA_PG_URI", given)
    assert load_settings().database_options().url == url


def test_the_parts_of_an_old_postgres_setting_make_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USER": "u", "PASSWORD": "p@/", "DB": "d", "HOST": "h"}.items():
        monkeypatch.setenv(f"LETTA_PG_{name}", value)
    assert load_settings().database_options().url == "postgresql://u:p%40%2F@h:5432/d"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REVERIE_PORT", "abc", ["REVERIE_PORT", "'abc'", "1 to 65535"]),
        ("REVERIE_PORT", "70000", ["REVERIE_PORT", "1 to 65535"]),
        ("REVERIE_BUSY_POLICY", "maybe", ["enqueue, reject or interrupt"]),
        ("TOOL_SANDBOX_TIMEOUT", "soon", ["TOOL_SANDBOX_TIMEOUT", "'soon'"]),
        ("LETTA_PG_URI", "mysql://u:hush@h/d", ["LETTA_PG_URI", "'mysql'", "postgresql://"]),
        ("LETTA_PG_URI", "postgresql://u:hush@h", ["names no database"]),
        ("LETTA_PG_URI", "sqlite://", ["forget everything"]),
        ("LETTA_PG_URI", "hush", ["LETTA_PG_URI", "not a URL"]),
        ("REVERIE_CONTEXT_WINDOWS", "a/b=many", ["REVERIE_CONTEXT_WINDOWS", "tokens"]),
        ("REVERIE_CONTEXT_WINDOWS", "{", ["REVERIE_CONTEXT_WINDOWS"]),
        ("OLLAMA_BASE_URL", "localhost:11434", ["OLLAMA_BASE_URL", "http://"]),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_variable_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: list[str]
) -> None:
    text = problem(monkeypatch, **{name: value})
    assert all(word in text for word in words), text
    assert "\n" not in text
    assert "hush" not in text


def test_every_wrong_value_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(problem(monkeypatch, REVERIE_PORT="x", REVERIE_LEASE_S="0").splitlines()) == 2


def test_a_wrong_value_on_the_command_line_is_named_by_its_flag() -> None:
    with pytest.raises(SettingsProblem, match=r"^--port is 0; give"):
        load_settings({"port": 0})


def test_a_wrong_value_in_the_file_is_said_to_be_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REVERIE_PORT=x")
    with pytest.raises(SettingsProblem, match=r"REVERIE_PORT in the \.env file"):
        load_settings()


def test_a_misspelt_variable_is_noticed_and_the_right_one_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_PROT", "1")
    monkeypatch.setenv("REVERIE_URL", "http://for-clients")
    assert load_settings().unknown_variables == ("REVERIE_PROT",)
    assert "did you mean REVERIE_PORT?" in unknown_variable_hint("REVERIE_PROT")


def test_openai_keeps_its_name_at_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    found = providers(monkeypatch, OPENAI_API_KEY="k", OPENAI_API_BASE="http://gateway/v1/")
    assert found == (ProviderOptions(name="openai", type="openai", api_key="k", base_url="http://gateway/v1"),)


def test_openai_with_an_address_alone_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [p.name for p in providers(monkeypatch, OPENAI_BASE_URL="http://local/v1")] == ["openai"]


@pytest.mark.parametrize("variable", ["VLLM_API_BASE", "SGLANG_API_BASE", "LMSTUDIO_BASE_URL", "LLAMACPP_BASE_URL"])
@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1"])
def test_local_openai_servers_get_their_path(monkeypatch: pytest.MonkeyPatch, variable: str, given: str) -> None:
    assert [p.base_url for p in providers(monkeypatch, **{variable: given})] == ["http://h:1/v1"]


def test_a_renamed_provider_keeps_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = providers(monkeypatch, VLLM_API_BASE="http://h", VLLM_HANDLE_BASE="mine")
    assert (found.name, found.type) == ("mine", "vllm")


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"AWS_ACCESS_KEY_ID": "a"}, []),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, ["bedrock"]),
        ({"AZURE_API_KEY": "a"}, []),
        ({"AZURE_API_KEY": "a", "AZURE_BASE_URL": "https://x"}, ["azure"]),
        ({"GOOGLE_CLOUD_PROJECT": "p"}, []),
        ({"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "l"}, ["google_vertex"]),
        ({"GOOGLE_API_KEY": "a"}, ["google_ai"]),
        ({"HF_TOKEN": "t"}, ["hugging-face"]),
        ({"GROQ_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, ["anthropic", "groq"]),
    ],
)
def test_a_provider_is_on_when_all_it_needs_is_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], names: list[str]
) -> None:
    assert [provider.name for provider in providers(monkeypatch, **variables)] == names


def test_bedrock_takes_its_parts_from_the_usual_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = providers(monkeypatch, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="eu-west-1")
    assert (found.access_key, found.api_key, found.region) == ("a", "s", "eu-west-1")


def test_no_secret_is_shown_by_the_settings_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REVERIE_API_KEY", "LETTA_ENCRYPTION_KEY", "OPENAI_API_KEY", "LETTA_PG_PASSWORD"):
        monkeypatch.setenv(name, "hush")
    monkeypatch.setenv("LETTA_PG_URI", "postgresql://u:hush@h/d")
    settings = load_settings()
    assert "hush" not in repr(settings)
    assert "hush" not in repr(settings.model_options())


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("127.0.0.1.example.org", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_other_addresses(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("overrides", "required"),
    [
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"api_key": "k"}, True),
        ({"allowed_hosts": "proxy.example.org"}, True),
    ],
)
def test_keys_are_required_wherever_others_can_reach_the_server(overrides: dict[str, object], required: bool) -> None:
    assert load_settings(overrides).keys_required is required


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8283"), ("0.0.0.0", "http://127.0.0.1:8283"), ("::1", "http://[::1]:8283")],
)
def test_the_url_is_one_a_client_here_can_open(host: str, url: str) -> None:
    assert load_settings({"host": host}).url == url


def test_stdio_servers_are_allowed_on_loopback_or_by_setting() -> None:
    allowed = [
        load_settings(overrides).mcp_stdio_allowed
        for overrides in (
            {},
            {"host": "0.0.0.0"},
            {"mcp_disable_stdio": True},
            {"host": "::", "mcp_disable_stdio": False},
        )
    ]
    assert allowed == [True, False, False, True]


def test_the_sandbox_gets_its_limits(tmp_path: Path) -> None:
    options = load_settings({"data_dir": tmp_path, "tool_memory_mb": 128, "tool_network": True}).sandbox_options()
    assert (options.memory_bytes, options.network) == (128 * 1024 * 1024, "all")
    assert options.data_dir == str(tmp_path / "tools")


def test_settings_cannot_change_after_the_start() -> None:
    settings: Settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1

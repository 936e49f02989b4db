"""Providers that sign in by themselves: without credentials the user is told so, in our words."""

from pathlib import Path

import pytest

from reverie.domain.content import TextPart
from reverie.domain.errors import ModelAuthFailed
from reverie.models.base import ModelOptions, Prompt, ProviderOptions, UserTurn
from reverie.models.catalog import Catalog


@pytest.mark.parametrize(
    "provider",
    [
        ProviderOptions(name="google_vertex", type="google_vertex", project="p", region="us-central1"),
        ProviderOptions(name="bedrock", type="bedrock", region="us-east-1"),
    ],
    ids=lambda provider: provider.type,
)
async def test_missing_credentials_are_an_authentication_failure(
    provider: ProviderOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    # Neither SDK may go looking on the network or in the home of whoever runs the tests.
    for name, value in (("NO_GCE_CHECK", "true"), ("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
    catalog = Catalog(ModelOptions(providers=(provider,), connect_timeout_s=2, read_timeout_s=3))
    try:
        model = await catalog.chat_model(f"{provider.name}/some-model")
        with pytest.raises(ModelAuthFailed, match=provider.name):
            async for _ in model.stream(Prompt(system="s", turns=(UserTurn(parts=(TextPart(text="hi"),)),))):
                pass
    finally:
        await catalog.aclose()

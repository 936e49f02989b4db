"""The reference page of settings, written from the declarations in `config`.

`python -m reverie.cli.settings_page` prints it; `make docs` writes it where it belongs.
"""

from collections.abc import Iterator
from itertools import groupby

from reverie.config import PROVIDERS, ProviderVariables, SettingInfo, describe_settings

_INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from src/reverie/config; change it there. -->

Each setting is read once when the server starts: from the command line, else from the environment, else from a
`.env` file in the working directory (or the one named by `--env-file`). Empty variables count as unset. Where
several variables are listed, the first one that is set counts; the others are names that `.env` files of Letta
servers have.
"""

_PROVIDER_INTRODUCTION = """\
## Model providers

A provider is on as soon as the variables marked with * are set; of several names for the same thing one is enough,
and `openai` needs a key or an address. Handles are `name/model`. An address that points to a gateway or a local
server does not change the name.

| Handles begin with | Variables |
| --- | --- |"""


def settings_page() -> str:
    """The whole page, ending in a newline."""
    lines = [_INTRODUCTION]
    for section, settings in groupby(describe_settings(), key=lambda setting: setting.section):
        lines += [f"## {section}", "", "| Variable | Default | Meaning |", "| --- | --- | --- |"]
        lines += [_row(setting) for setting in settings]
        lines.append("")
    lines.append(_PROVIDER_INTRODUCTION)
    lines += [f"| `{provider.name}/` | {', '.join(_variables(provider))} |" for provider in PROVIDERS]
    return "\n".join(lines) + "\n"


def _row(setting: SettingInfo) -> str:
    names = [*setting.names, *([setting.flag] if setting.flag else [])]
    default = f"`{setting.default}`" if setting.default else ""
    expects = "" if setting.expects == "true or false" else f" Give {setting.expects}."
    return f"| {'<br>'.join(f'`{name}`' for name in names)} | {default} | {setting.note}{expects} |"


def _variables(provider: ProviderVariables) -> Iterator[str]:
    starred = {
        "key": (provider.key,),
        "url": (provider.url,),
        "either": (provider.key, provider.url),
        "all": (provider.key, provider.url, () if provider.default_region else provider.region),
    }[provider.needs]
    needed = {name for names in starred for name in names}
    if provider.needs == "all":
        needed |= {name for name in (provider.access_key, provider.project) if name}
    for name in provider.variables():
        yield f"`{name}`{'*' if name in needed else ''}"


if __name__ == "__main__":
    print(settings_page(), end="")

"""Settings: the environment, a `.env` file and the command line, read once.

Rooms never see this module. It fills in the options record of each room, and only `cli` and
`wiring` hold a `Settings`. Whatever is wrong is said in one sentence that names the variable
as the user spelled it and what would be right.
"""

from reverie.config.problem import SettingsProblem
from reverie.config.providers import PROVIDERS, ProviderVariables
from reverie.config.reading import (
    SettingInfo,
    default_data_dir,
    describe_settings,
    load_settings,
    unknown_variable_hint,
)
from reverie.config.settings import Settings, is_loopback

__all__ = [
    "PROVIDERS",
    "ProviderVariables",
    "SettingInfo",
    "Settings",
    "SettingsProblem",
    "default_data_dir",
    "describe_settings",
    "is_loopback",
    "load_settings",
    "unknown_variable_hint",
]

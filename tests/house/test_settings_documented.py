from pathlib import Path

from reverie.cli.settings_page import settings_page
from reverie.config import describe_settings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_reference_page_is_the_one_the_code_would_write() -> None:
    assert PAGE.read_text() == settings_page(), "run `make docs`"


def test_every_setting_says_what_it_means_and_what_it_expects() -> None:
    silent = [setting.names[0] for setting in describe_settings() if not (setting.note and setting.expects)]
    assert silent == []


def test_every_setting_has_a_name_of_its_own() -> None:
    names = [name for setting in describe_settings() for name in setting.names]
    assert len(names) == len(set(names))

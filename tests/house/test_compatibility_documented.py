import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.app import our_routes
from tests.support.sdk import NEWEST, OLDEST, VERSIONS, NotInstalled, route_key, sdk_operations

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "compatibility.md"
SURVEY = json.loads((ROOT / ".ci" / "sdk_operations.json").read_text())


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / ".ci" / "compatibility.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_page_is_the_one_the_routes_would_write() -> None:
    assert PAGE.read_text() == generator().compatibility_page(), "run `make docs`"


def test_what_differs_is_told_of_routes_that_are_there() -> None:
    module = generator()
    told = {*module.DIFFERENCES, *module.THIN}
    assert told - {f"{route.verb} {route.path}" for route in our_routes().values()} == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_survey_knows_what_the_sdk_knows(version: str) -> None:
    releases = SURVEY["versions"]
    assert (releases[0], releases[-1]) == (OLDEST, NEWEST)
    place = releases.index(version)
    surveyed = {
        (item["name"], *route_key(item["verb"], item["path"]))
        for item in SURVEY["operations"]
        if releases.index(item["since"]) <= place <= releases.index(item["until"])
    }
    try:
        known = {(operation.name, *operation.route) for operation in sdk_operations(version)}
    except NotInstalled as missing:
        pytest.skip(str(missing))
    assert surveyed == known, "run .ci/sdk_survey.py"

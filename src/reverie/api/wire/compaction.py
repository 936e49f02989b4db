"""How old messages make room, in answers and in requests."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body, changes_of
from reverie.api.wire.models import ModelSettingsBody, guessed_model, model_settings_state
from reverie.domain.agent import CompactionChanges, CompactionSettings
from reverie.domain.json import JsonObject
from reverie.domain.provider import ModelInfo


class CompactionSettingsState(TypedDict):
    """How old messages make room."""

    model: str | None
    model_settings: JsonObject | None
    prompt: str | None
    prompt_acknowledgement: bool
    clip_chars: int | None
    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"]
    sliding_window_percentage: float


def compaction_state(
    settings: CompactionSettings | None, models: Mapping[str, ModelInfo]
) -> CompactionSettingsState | None:
    """The settings as clients read them; `models` by their handles."""
    if settings is None:
        return None
    own = settings.model_settings
    model = None if settings.model is None else models.get(settings.model) or guessed_model(settings.model)
    return {
        "model": settings.model,
        "model_settings": own if own is None or model is None else model_settings_state(own, model),
        "prompt": settings.prompt,
        "prompt_acknowledgement": settings.prompt_acknowledgement,
        "clip_chars": settings.clip_chars,
        "mode": settings.mode,
        "sliding_window_percentage": settings.sliding_window_percentage,
    }


class CompactionSettingsBody(Body):
    """How old messages make room."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | None = None
    sliding_window_percentage: float | None = Field(default=None, ge=0, le=1)
    model: str | None = None
    model_settings: ModelSettingsBody | None = None
    prompt: str | None = None
    prompt_acknowledgement: bool | None = None
    clip_chars: int | None = Field(default=None, ge=0, le=MOST)

    def to_domain(self) -> CompactionSettings:
        """The settings with the defaults filled in."""
        return self.to_changes().applied_to(CompactionSettings())

    def to_changes(self) -> CompactionChanges:
        """What was sent; `clip_chars: null` means no limit."""
        given = self.given()
        if self.model_settings is not None:
            given["model_settings"] = self.model_settings.to_domain()
        return changes_of(CompactionChanges, given)

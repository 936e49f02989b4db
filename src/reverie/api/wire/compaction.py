"""How old messages make room, in answers and in requests."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from reverie.api.wire.base import MOST, Body
from reverie.api.wire.models import ModelSettingsBody, guessed_model, model_settings_state
from reverie.domain.agent import CompactionSettings
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
        """The settings with the defaults filled in; `clip_chars: null` means no limit."""
        default = CompactionSettings()
        sent = self.model_fields_set
        share = self.sliding_window_percentage
        return CompactionSettings(
            mode=self.mode or default.mode,
            sliding_window_percentage=default.sliding_window_percentage if share is None else share,
            model=self.model,
            model_settings=None if self.model_settings is None else self.model_settings.to_domain(),
            prompt=self.prompt,
            prompt_acknowledgement=bool(self.prompt_acknowledgement),
            clip_chars=self.clip_chars if "clip_chars" in sent else default.clip_chars,
        )

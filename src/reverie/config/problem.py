"""What is raised for settings."""

from reverie.domain.errors import ReverieError


class SettingsProblem(ReverieError):
    """A setting that cannot be used. Each line of the text is one setting and its remedy."""

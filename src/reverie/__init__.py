"""An open server for stateful agents."""

__version__ = "1.0.0a1"

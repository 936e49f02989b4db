"""The one agent loop: load, compile, model, tools, save; yields events. See README.md."""

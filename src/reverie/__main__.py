"""`python -m reverie` is the `reverie` command."""

from reverie.cli.main import app

app(prog_name="reverie")

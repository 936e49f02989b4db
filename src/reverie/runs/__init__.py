"""Runs: started, queued, followed, cancelled, survived. See README.md."""

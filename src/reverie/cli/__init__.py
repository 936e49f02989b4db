"""Commands: serve, doctor, version, quickstart, keys."""

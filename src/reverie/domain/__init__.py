"""Frozen records, ids, events and errors. Imports the standard library only."""

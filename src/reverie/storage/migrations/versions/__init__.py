"""The history, one file for each revision."""

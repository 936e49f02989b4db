"""Files to text. See README.md."""

"""What starts by itself. See README.md."""

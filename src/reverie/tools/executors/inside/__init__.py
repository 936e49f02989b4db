"""What runs inside the sandbox: copied there, with the standard library alone."""

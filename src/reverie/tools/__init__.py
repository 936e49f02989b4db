"""What agents can call: built-in tools, custom tools in a sandbox, and the rules between them. See README.md."""

"""What a model is sent: pure functions from stored state to a prompt. See README.md."""

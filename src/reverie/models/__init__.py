"""Chat models and embedders: one contract, one file for each dialect. See README.md."""

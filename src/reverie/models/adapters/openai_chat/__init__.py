"""The OpenAI chat completions dialect: spoken by OpenAI, Azure and nearly every local or hosted server."""

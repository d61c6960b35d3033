"""OpenAI's old completions: a prompt instead of messages."""

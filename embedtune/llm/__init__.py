"""The LLM client, for any OpenAI-compatible LLM endpoint: retries, pacing, a cache of replies and a budget."""

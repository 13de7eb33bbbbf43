"""The one way to an LLM: any OpenAI-compatible endpoint, with retries, pacing, a cache of replies and a budget."""

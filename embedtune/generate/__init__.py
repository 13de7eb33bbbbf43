"""Stage 2: an LLM writes questions about the chunks and judges them."""

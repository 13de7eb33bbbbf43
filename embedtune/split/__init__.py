"""Stage 3: the retrieval dataset, with proof that nothing leaks between its splits."""

"""Stage 5: fine-tune the bi-encoder and keep the checkpoint that is best on dev."""

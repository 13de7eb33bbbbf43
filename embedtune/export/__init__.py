"""Stage export: the trained model as an engine that Triton can serve."""

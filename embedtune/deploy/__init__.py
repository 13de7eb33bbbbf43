"""Stage deploy: which engine goes live, where, and the way back."""

"""A release: what it holds, how it is built, and how it is read."""

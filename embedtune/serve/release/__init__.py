"""A release: what it contains, how it is built, and how it is read."""

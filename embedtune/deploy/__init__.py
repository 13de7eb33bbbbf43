"""Stage 8: publish an engine as a release, and make it live once every replica has proven it."""

"""Stage 8: publish an engine as a release, make it live, check it through the endpoint, or roll back."""

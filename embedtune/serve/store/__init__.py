"""Releases in an object store, which of them is live, and the lease of the process that changes it."""

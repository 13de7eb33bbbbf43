"""Releases in an object store, which of them is live, and the lock of the process that changes it."""

"""A Triton server on this machine: where it is installed, how it is started, and what its GPU can run."""

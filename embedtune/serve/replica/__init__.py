"""A replica: one Triton that follows the pointer of a release store, and proves a release before it may answer."""

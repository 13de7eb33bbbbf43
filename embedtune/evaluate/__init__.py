"""Stage 6: did it help? Metrics, intervals, slices and a verdict."""

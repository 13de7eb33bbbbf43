"""Stage 6: measure whether tuning helped, with metrics, intervals, slices and a verdict."""

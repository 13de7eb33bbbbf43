"""What a run will need, checked in its first seconds: for `embedtune run`, `embedtune doctor` and the pipeline."""

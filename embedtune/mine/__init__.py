"""Stage 4: hard negatives, confusing but truly wrong passages, audited."""

"""Stage 4: hard negatives, passages that look right but are wrong, with an audit."""

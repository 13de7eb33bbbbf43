"""Stage 4: mine hard negatives (passages that look right but are wrong) and audit them."""

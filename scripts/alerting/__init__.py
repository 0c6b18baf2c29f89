"""What scripts/alerts-check is made of."""

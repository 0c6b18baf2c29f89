"""What scripts/helm-check is made of."""

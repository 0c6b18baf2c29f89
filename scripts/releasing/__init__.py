"""What scripts/release and scripts/bump-version are made of."""

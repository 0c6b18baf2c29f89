"""What scripts/ecs-check is made of."""

"""What scripts/backup-check is made of: servers, traffic, and the judgement on what was restored."""

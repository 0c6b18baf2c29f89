"""What checks have in common: the programs they use, installed into target/tools at fixed versions and checksums."""

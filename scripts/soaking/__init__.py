"""The parts of scripts/soak. Standard library only."""

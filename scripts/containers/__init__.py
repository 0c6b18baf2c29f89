"""What scripts/docker-check looks at: files without an engine, and with one the image and each profile of Compose."""

"""Together's routes under `/together/v1`."""

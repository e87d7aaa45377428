"""EXXA's routes under `/v1`."""

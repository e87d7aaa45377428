"""Bytes ↔ core: JSON Lines, the API's bodies, what travels between our own processes."""

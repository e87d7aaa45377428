"""The HTTP API: one function, a router for each dialect's nouns."""

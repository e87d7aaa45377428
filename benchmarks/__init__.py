"""Measurements, each a command of its own. Their last line is JSON."""

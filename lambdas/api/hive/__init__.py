"""Hive's routes under `/api/v1` and `/api/v2`."""

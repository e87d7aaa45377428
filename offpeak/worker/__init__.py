"""Runs shards on an engine: claims, reads, admits, checkpoints, reports. Sees ports, never boto3."""

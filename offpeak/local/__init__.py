"""The local cloud: what would be deployed, running on this machine. No AWS account, no Docker."""

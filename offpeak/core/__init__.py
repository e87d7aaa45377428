"""Values and rules of batch inference. Standard library only; no I/O, no clock."""

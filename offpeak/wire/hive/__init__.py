"""Hive's tasks, as its clients send them and are called back: stand-alone requests whose result is sent to them."""

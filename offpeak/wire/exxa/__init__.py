"""EXXA's requests and groups of requests, as its clients send and read them."""

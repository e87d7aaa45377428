"""What answers a request line: vLLM in this process, an OpenAI-compatible server by its URL, or an echo."""

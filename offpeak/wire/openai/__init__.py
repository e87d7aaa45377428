"""OpenAI's accent: files, uploads, batches and models as its SDKs send and expect them."""

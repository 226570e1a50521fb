"""Rungs behind Cloudflare AI Gateway, or any OpenAI-compatible server."""

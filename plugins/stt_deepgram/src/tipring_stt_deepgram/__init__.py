"""Deepgram nova-3 hears the caller."""

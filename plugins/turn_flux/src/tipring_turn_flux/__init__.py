"""Deepgram Flux hears the caller and says when they are done."""

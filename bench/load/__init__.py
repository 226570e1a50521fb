"""What one process holds: stock Pipecat and tipring under the same calls, on one core."""

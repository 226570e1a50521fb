"""ElevenLabs speaks for the agent."""

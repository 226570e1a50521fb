"""What the agent says: text made speakable, and phrases rendered ahead."""

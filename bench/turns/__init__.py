"""phone-turn bench: who speaks when, as the caller hears it."""

"""phone-turn bench: who speaks when, as the caller hears it, of tipring and of what else there is."""

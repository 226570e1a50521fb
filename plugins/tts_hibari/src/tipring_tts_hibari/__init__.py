"""hibari speaks for the agent, on this machine, without a key."""

"""A scripted receptionist: no model, no key."""

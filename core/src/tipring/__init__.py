"""tipring answers the phone, and knows when the caller is done."""

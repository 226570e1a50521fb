"""The telephone: Twilio's webhooks, signatures and media stream."""

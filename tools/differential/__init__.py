"""The differential campaign: random networks, the levels that run them, and what they reached."""

"""Web Push: what a user has not read while no tab of theirs is open is pushed to their browsers."""

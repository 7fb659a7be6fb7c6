"""The export of everything that belongs to a user."""

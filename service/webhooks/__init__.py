"""Webhooks: what has happened in Loa is posted to a server of the site beside it."""

"""A small market: people offer, comment on and order things. Loa beside it does the chat and the notifications."""

"""What the market and Loa have to agree on. Both read the same variables; see README.md."""

import os

LOA_URL = os.environ.get("LOA_URL", "http://127.0.0.1:8000")
"""Loa, as browsers and this server reach it."""
ISSUER = os.environ["AUTH_ISSUER"]
AUTH_KEY = os.environ["AUTH_KEY"]
"""Signs the tokens of the market's users (HS256)."""
API_KEY = os.environ["API_KEYS"].split(",")[0].partition(":")[2]
WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"]
DATABASE = os.environ.get("MARKET_DATABASE", "market.db")

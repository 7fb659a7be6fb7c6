"""`python -m service webhooks`: lists the parked webhooks, or sends them again."""

from config.settings import Settings
from service.commands.database import CannotUseDatabase, open_database
from service.common.times import iso
from service.webhooks.delivery_store import DeliveryStore

MAX_LISTED = 1000
ALL = "all"


async def parked(settings: Settings) -> list[str]:
    """Return a line for each of the MAX_LISTED webhooks that were parked first. Raises CannotUseDatabase."""
    async with open_database(settings) as database:
        return [
            f"{each['_id']}  {iso(each['created_at'])}  attempts: {each['attempts']}, last: {each['outcome']}"
            for each in await DeliveryStore(database).parked(MAX_LISTED)
        ]


async def resend(settings: Settings, webhook_id: str) -> int:
    """Let a parked webhook, or all of them (ALL), be attempted at once. Returns their number.

    Raises CannotUseDatabase.
    """
    async with open_database(settings) as database:
        count = await DeliveryStore(database).resend(None if webhook_id == ALL else webhook_id)
    if not count and webhook_id != ALL:
        raise CannotUseDatabase("no webhook with this id is parked")
    return count

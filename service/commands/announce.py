"""`python -m service announce`: sends an announcement from the operator to every connected user, and keeps it for
others."""

from config.settings import Settings
from service.chat.events import announcement
from service.chat.last_announcement import LastAnnouncement
from service.common.text import has_visible
from service.datastores.data_directory import DataDirectory
from service.datastores.failure_reason import failure_reason
from service.datastores.redis import REDIS_ERRORS, InvalidRedisURL, connect
from service.realtime.dispatcher import Dispatcher
from service.realtime.redis_bus import RedisBus
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel

MAX_CHARACTERS = 1000


class CannotAnnounce(Exception):
    """The text is too short or too long, or no server can be reached. The message says which, in one line."""


async def announce(settings: Settings, text: str) -> int:
    """Send `text`, 1 to 1000 characters. Returns the number of workers that receive it. Raises CannotAnnounce."""
    text = text.strip()
    if not 1 <= len(text) <= MAX_CHARACTERS:
        raise CannotAnnounce(f"an announcement has 1 to {MAX_CHARACTERS} characters, and this one {len(text)}")
    if not has_visible(text):
        raise CannotAnnounce("the announcement contains nothing visible")
    url = settings.redis_url or DataDirectory(settings.data_dir).read("redis.url")
    if not url:
        raise CannotAnnounce(f"DATA_DIR: no Loa is running in {settings.data_dir}, and REDIS_URL is not set")
    variable = "REDIS_URL" if settings.redis_url else "DATA_DIR"
    try:
        listeners = await _send(url, settings.redis_tag, text)
    except (*REDIS_ERRORS, InvalidRedisURL) as error:
        raise CannotAnnounce(f"{variable}: Redis cannot be used: {failure_reason(error, url)}") from error
    if not listeners:
        raise CannotAnnounce("no Loa is listening to this Redis")
    return listeners


async def _send(url: str, tag: str, text: str) -> int:
    """Store and publish the announcement if a worker listens. Returns the number of those. Raises one of
    REDIS_ERRORS."""
    bus, redis = RedisBus(url, tag), connect(url, tag)
    try:
        listeners = await bus.subscriber_count()
        if listeners:
            await LastAnnouncement(redis, tag).store(text)
            await bus.start()
            Dispatcher(bus, Registry(TimerWheel())).publish(announcement(text), None)
    finally:
        # A connection that is still open would keep the command from ending.
        await bus.close()
        await redis.aclose()
    if bus.outbox_size:
        raise CannotAnnounce("Redis does not accept the announcement; the log says why")
    return listeners

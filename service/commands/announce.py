"""`python -m service announce`: sends an announcement from the operator to every connected user."""

from config.settings import Settings
from service.chat.events import announcement
from service.datastores.data_directory import DataDirectory
from service.datastores.redis import REDIS_ERRORS, connect
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
    url = settings.redis_url or DataDirectory(settings.data_dir).read("redis.url")
    if not url:
        raise CannotAnnounce(f"DATA_DIR: no Loa is running in {settings.data_dir}, and REDIS_URL is not set")
    redis = connect(url, settings.redis_tag)
    try:
        bus = RedisBus(redis, settings.redis_tag)
        listeners = await bus.subscriber_count()
        if not listeners:
            raise CannotAnnounce("no Loa is listening to this Redis")
        dispatcher = Dispatcher(bus, Registry(TimerWheel()))
        await bus.start()
        dispatcher.publish(announcement(text), None)
        await bus.close()
        return listeners
    except REDIS_ERRORS as error:
        variable = "REDIS_URL" if settings.redis_url else "DATA_DIR"
        raise CannotAnnounce(f"{variable}: Redis cannot be reached ({type(error).__name__})") from error
    finally:
        await redis.aclose()

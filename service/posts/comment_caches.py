"""What comments depend on, as this process has read it lately."""

from collections.abc import Collection

from bson import ObjectId

from service.common.blocks import Block, Blocks
from service.common.profiles import Profile, Profiles
from service.datastores.find_by_ids import Place
from service.posts.comment_store import CommentStore, Parent
from service.posts.mute_store import Mute, MuteStore
from service.posts.post_store import Commented, PostStore
from service.realtime.bus import Bus
from service.realtime.bus_cache import BusCache
from service.realtime.existence_cache import ExistenceCache


class CommentCaches:
    """The posts and comments that are commented on, who comments, and who does not want to know; see BusCache.

    The service that stores a change of one of these calls `changed` of its cache.
    """

    def __init__(
        self,
        bus: Bus,
        posts: PostStore,
        comments: CommentStore,
        profiles: Profiles,
        blocks: Blocks,
        mutes: MuteStore,
    ) -> None:
        async def read_parents(places: Collection[Place]) -> dict[Place, Parent]:
            found = await comments.parents(places)
            return {place: found[place[1]] for place in places if place[1] in found}

        self.posts: BusCache[ObjectId, Commented] = BusCache(bus, "commented_post", posts.commented)
        self.parents: BusCache[Place, Parent] = BusCache(bus, "parent_comment", read_parents)
        self.profiles: BusCache[str, Profile] = BusCache(bus, "profile", profiles.profiles)
        self.blocks: ExistenceCache[Block] = ExistenceCache(bus, "block", blocks.existing)
        self.mutes: ExistenceCache[Mute] = ExistenceCache(bus, "post_mute", mutes.existing)

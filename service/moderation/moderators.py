"""Who is a moderator, and what they may delete."""

from service.accounts.users import UserStore
from service.common.errors import Forbidden
from service.common.identity import Identity
from service.common.moderation import MODERATOR, Content
from service.moderation.audit_log import AuditLog
from service.moderation.report_store import ReportStore


class ModeratorService:
    """Implements `service.common.moderation.Moderators`. The role is read from the database each time, unless the
    caller's token is from outside and names it. All methods raise Unavailable."""

    def __init__(self, users: UserStore, reports: ReportStore, log: AuditLog) -> None:
        self._users = users
        self._reports = reports
        self._log = log

    async def require(self, caller: Identity) -> None:
        """Raise Forbidden unless the caller is a moderator."""
        if not await self._is_moderator(caller):
            raise Forbidden("Only moderators may do this.")

    async def may_delete(self, caller: Identity, kind: Content, subject_id: str) -> bool:
        if not await self._is_moderator(caller):
            return False
        report = await self._reports.about(kind, subject_id)
        if report is None:
            return False
        await self._log.add(caller.user_id, "delete", kind, subject_id, place_id=report["place_id"])
        return True

    async def _is_moderator(self, caller: Identity) -> bool:
        if MODERATOR in caller.roles:
            return True
        user = await self._users.get(caller.user_id)
        return user is not None and MODERATOR in user.roles

"""HTTP routes of reports and moderation."""

from sanic import HTTPResponse, Request

from service.common import errors
from service.common.identity import Identity
from service.common.ids import path_id
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import REPORTING, WRITING
from service.moderation import models
from service.moderation.ban_service import BanService
from service.moderation.moderators import ModeratorService
from service.moderation.report_service import ReportService

TAG = "moderation"


def blueprint(
    reports: ReportService, bans: BanService, moderators: ModeratorService, auth: Authentication
) -> Blueprint:
    bp = Blueprint("moderation", url_prefix="/api/v1")

    @bp.post("/reports")
    @endpoint(
        "Report a user or what they have written",
        tag=TAG,
        auth=auth,
        limit=REPORTING,
        body=models.NewReport,
        responses={201: models.Reported, 200: models.Reported},
        errors=(errors.NotFound,),
    )
    async def report(request: Request, caller: Identity, *, body: models.NewReport) -> HTTPResponse:
        """The moderators see it, with its subject as it is now. 404 if the caller does not see the subject; 200 and the
        earlier report if they have reported it before. The reported user does not learn of it."""
        stored, created = await reports.report(caller.user_id, body)
        return json_response(stored, 201 if created else 200)

    @bp.get("/moderation/reports")
    @endpoint(
        "List reports",
        tag=TAG,
        auth=auth,
        query=models.ReportQuery,
        responses={200: models.ReportPage},
        errors=(errors.Forbidden,),
    )
    async def report_page(request: Request, caller: Identity, *, query: models.ReportQuery) -> HTTPResponse:
        """For moderators: the reports in a state, the latest first."""
        await moderators.require(caller)
        return json_response(await reports.page(query.state, query.limit, query.before))

    @bp.put("/moderation/reports/<report_id:str>")
    @endpoint(
        "Close a report",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.ReportChange,
        responses={200: models.Report},
        errors=(errors.Forbidden, errors.NotFound),
    )
    async def change_report(
        request: Request, caller: Identity, report_id: str, *, body: models.ReportChange
    ) -> HTTPResponse:
        """For moderators. Idempotent."""
        await moderators.require(caller)
        return json_response(await reports.change_state(caller.user_id, path_id(report_id), body.state))

    @bp.get("/moderation/log")
    @endpoint(
        "Read the log of moderation",
        tag=TAG,
        auth=auth,
        query=models.LogQuery,
        responses={200: models.Log},
        errors=(errors.Forbidden,),
    )
    async def log(request: Request, caller: Identity, *, query: models.LogQuery) -> HTTPResponse:
        """For moderators: what all of them have done, the latest first. Nobody removes entries."""
        await moderators.require(caller)
        return json_response(await reports.log(query.limit, query.before))

    @bp.get("/moderation/bans")
    @endpoint(
        "List bans",
        tag=TAG,
        auth=auth,
        query=models.BanQuery,
        responses={200: models.BanPage},
        errors=(errors.Forbidden,),
    )
    async def ban_page(request: Request, caller: Identity, *, query: models.BanQuery) -> HTTPResponse:
        """For moderators: the bans that are in force, the latest first."""
        await moderators.require(caller)
        return json_response(await bans.page(query.limit, query.before))

    @bp.put("/moderation/users/<user_id:str>/ban")
    @endpoint(
        "Ban a user",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=models.NewBan,
        responses={200: models.Ban},
        errors=(errors.Forbidden, errors.NotFound),
    )
    async def ban(request: Request, caller: Identity, user_id: str, *, body: models.NewBan) -> HTTPResponse:
        """For moderators. The user's tokens and connections end, and until then nobody signs in as them (403 `banned`).
        What they have written stays. A moderator cannot be banned."""
        await moderators.require(caller)
        return json_response(await bans.ban(caller.user_id, path_id(user_id), body.until, body.reason))

    @bp.delete("/moderation/users/<user_id:str>/ban")
    @endpoint(
        "End the ban of a user",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={204: None},
        errors=(errors.Forbidden, errors.NotFound),
    )
    async def unban(request: Request, caller: Identity, user_id: str) -> HTTPResponse:
        """For moderators. Idempotent. The user signs in again."""
        await moderators.require(caller)
        await bans.unban(caller.user_id, path_id(user_id))
        return json_response()

    return bp

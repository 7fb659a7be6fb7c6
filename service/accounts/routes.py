"""HTTP routes of accounts: `/auth` and `/users`."""

from sanic import HTTPResponse, Request

from service.accounts import models
from service.accounts.account_deletion import AccountDeletion
from service.accounts.blocks import BlockService
from service.accounts.profiles import ProfileService
from service.accounts.service import AccountService
from service.accounts.tickets import TTL, Tickets
from service.common import errors
from service.common.identity import Identity
from service.common.ids import path_id
from service.common.profiles import Profile
from service.http.authentication import Authentication, bearer, user_agent
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import (
    LOOKUP,
    PASSWORD_CHANGE,
    PASSWORD_CHANGE_ADDRESS,
    REFRESH,
    REGISTRATION,
    TICKET,
    WRITING,
    RateLimits,
    address,
)
from service.http.sign_in_limits import SignInLimits


def blueprint(
    service: AccountService,
    deletion: AccountDeletion,
    profiles: ProfileService,
    blocks: BlockService,
    tickets: Tickets,
    auth: Authentication,
    limits: RateLimits,
    *,
    local_accounts: bool,
) -> Blueprint:
    """`local_accounts`: whether people can register and sign in with a password."""
    bp = Blueprint("accounts", url_prefix="/api/v1")
    if local_accounts:
        _add_password_routes(bp, service, auth, limits)
    _add_session_routes(bp, service, tickets, auth, limits)
    _add_user_routes(bp, profiles, auth)
    _add_deletion_route(bp, deletion, auth, limits)
    _add_block_routes(bp, blocks, auth)
    return bp


def _add_password_routes(bp: Blueprint, service: AccountService, auth: Authentication, limits: RateLimits) -> None:
    sign_in_limits = SignInLimits(limits)

    @bp.post("/auth/register")
    @endpoint(
        "Register",
        tag="auth",
        limit=REGISTRATION,
        body=models.Register,
        responses={201: models.SignedIn},
        errors=(errors.UsernameTaken,),
    )
    async def register(request: Request, *, body: models.Register) -> HTTPResponse:
        """Creates an account and signs in. `display_name` defaults to the username."""
        client = address(request)
        signed_in = await service.register(body, user_agent(request), client)
        await sign_in_limits.remember(body.username, client)
        return json_response(signed_in, 201)

    @bp.post("/auth/login")
    @endpoint(
        "Sign in",
        tag="auth",
        # SignInLimits has the limits: whether they apply depends on the username.
        limit=None,
        body=models.Login,
        responses={200: models.SignedIn},
        errors=(errors.BadCredentials, errors.Banned, errors.RateLimited),
    )
    async def login(request: Request, *, body: models.Login) -> HTTPResponse:
        """Begins a new session. The response does not reveal whether the username or the password was wrong.

        A device that has been signed in before may send its last token (`Authorization: Bearer`), even if that is no
        longer valid: others' attempts from the same address then do not count against it.
        """
        client = address(request)
        device = await service.session_of(bearer(request), body.username)
        await sign_in_limits.check(body.username, client, device)
        signed_in = await service.login(body, user_agent(request), device or client)
        await sign_in_limits.remember(body.username, client)
        return json_response(signed_in)

    @bp.post("/auth/refresh")
    @endpoint(
        "Refresh the tokens",
        tag="auth",
        limit=REFRESH,
        body=models.Refresh,
        responses={200: models.SignedIn},
        errors=(errors.TokenInvalid, errors.TokenExpired, errors.TokenRevoked, errors.Banned, errors.RateLimited),
    )
    async def refresh(request: Request, *, body: models.Refresh) -> HTTPResponse:
        """Returns a new pair of tokens. The old refresh token can be used again for 60 seconds, unless its successor is
        used; after that, using it revokes the session."""
        return json_response(await service.refresh(body.refresh_token))

    @bp.post("/auth/password")
    @endpoint(
        "Change the password",
        tag="auth",
        auth=auth,
        limit=PASSWORD_CHANGE,
        body=models.PasswordChange,
        responses={200: models.SignedIn},
        errors=(errors.BadCredentials,),
    )
    async def change_password(request: Request, caller: Identity, *, body: models.PasswordChange) -> HTTPResponse:
        """Revokes every other session of the caller and the earlier tokens of this one, and returns a new pair. The
        connections of this session stay open."""
        client = address(request)
        await limits.check(PASSWORD_CHANGE_ADDRESS, client)
        return json_response(await service.change_password(caller, body, user_agent(request), client))

    @bp.post("/auth/password/reset")
    @endpoint(
        "Choose a new password with a link",
        tag="auth",
        limit=PASSWORD_CHANGE_ADDRESS,
        body=models.PasswordReset,
        responses={200: models.SignedIn},
        errors=(errors.TokenInvalid, errors.Banned),
    )
    async def reset_password(request: Request, *, body: models.PasswordReset) -> HTTPResponse:
        """Signs in, as the user for whom `python -m service reset-password` has printed the link, and revokes all of
        their other sessions. The token of a link is usable once, within an hour."""
        return json_response(await service.reset_password(body, user_agent(request), address(request)))


def _add_session_routes(
    bp: Blueprint, service: AccountService, tickets: Tickets, auth: Authentication, limits: RateLimits
) -> None:
    @bp.post("/auth/logout")
    # No limit: a user can always end a session.
    @endpoint("Sign out", tag="auth", auth=auth, limit=None, responses={204: None})
    async def logout(request: Request, caller: Identity) -> HTTPResponse:
        """Revokes this session's tokens, and closes its sockets and streams."""
        await service.logout(caller)
        return json_response()

    @bp.get("/auth/sessions")
    @endpoint("List the caller's sessions", tag="auth", auth=auth, responses={200: models.Sessions})
    async def sessions(request: Request, caller: Identity) -> HTTPResponse:
        """The active sessions, the most recently used first."""
        return json_response(models.Sessions(items=await service.sessions(caller)))

    @bp.delete("/auth/sessions/<session_id:str>")
    @endpoint(
        "End a session",
        tag="auth",
        auth=auth,
        # Only the password has a limit: a user can always end a session.
        limit=None,
        body=models.SessionEnd,
        body_required=False,
        responses={204: None},
        errors=(errors.NotFound, errors.Forbidden, errors.BadCredentials, errors.RateLimited),
    )
    async def end_session(
        request: Request, caller: Identity, session_id: str, *, body: models.SessionEnd
    ) -> HTTPResponse:
        """Revokes one of the caller's sessions. A session other than the caller's own needs the password (403 without
        it) if the caller has signed in more than 15 minutes ago. The body may be absent."""
        client = address(request)
        if body.password is not None:
            await limits.check(PASSWORD_CHANGE, caller.user_id)
            await limits.check(PASSWORD_CHANGE_ADDRESS, client)
        await service.end_session(caller, path_id(session_id), body.password, client)
        return json_response()

    @bp.post("/auth/ticket")
    @endpoint("Get a ticket", tag="auth", auth=auth, limit=TICKET, responses={200: models.Ticket})
    async def ticket(request: Request, caller: Identity) -> HTTPResponse:
        """A short-lived single-use credential for the URL of a socket or stream."""
        return json_response(models.Ticket(ticket=await tickets.issue(caller), expires_in=TTL))


def _add_user_routes(bp: Blueprint, profiles: ProfileService, auth: Authentication) -> None:
    @bp.get("/users/me")
    @endpoint(
        "Read the caller's profile",
        tag="users",
        auth=auth,
        responses={200: models.OwnProfile},
        errors=(errors.NotFound,),
    )
    async def me(request: Request, caller: Identity) -> HTTPResponse:
        return json_response(await profiles.own_profile(caller.user_id, caller.roles))

    @bp.patch("/users/me")
    @endpoint(
        "Change the caller's profile",
        tag="users",
        auth=auth,
        limit=WRITING,
        body=models.ProfileChange,
        responses={200: models.OwnProfile},
        errors=(errors.NotFound,),
    )
    async def change_me(request: Request, caller: Identity, *, body: models.ProfileChange) -> HTTPResponse:
        """Omitted fields are not changed. An `avatar` of null removes the picture."""
        return json_response(await profiles.change_profile(caller.user_id, body, caller.roles))

    @bp.get("/users")
    @endpoint(
        "Search users",
        tag="users",
        auth=auth,
        limit=LOOKUP,
        query=models.UserSearch,
        responses={200: models.UsersFound},
    )
    async def search(request: Request, caller: Identity, *, query: models.UserSearch) -> HTTPResponse:
        """Finds users by their names: every word of `query` must be a prefix of some word of the display name or the
        username. Case and accents are ignored. A leading `@` restricts the search to usernames. A page can be short or
        empty although there is a `next` one, because the server reads a bounded number of users for it."""
        items, next_cursor = await profiles.search(query.query, query.limit, query.before or "")
        return json_response(models.UsersFound(items=items, next=next_cursor))

    @bp.get("/users/<user_id:str>")
    @endpoint("Read a user's profile", tag="users", auth=auth, responses={200: Profile}, errors=(errors.NotFound,))
    async def profile(request: Request, caller: Identity, user_id: str) -> HTTPResponse:
        return json_response(await profiles.profile(path_id(user_id)))


def _add_deletion_route(bp: Blueprint, deletion: AccountDeletion, auth: Authentication, limits: RateLimits) -> None:
    @bp.delete("/users/me")
    @endpoint(
        "Delete the caller's account",
        tag="users",
        auth=auth,
        limit=PASSWORD_CHANGE,
        body=models.AccountEnd,
        body_required=False,
        responses={204: None},
        errors=(errors.BadCredentials, errors.NotFound),
    )
    async def delete_me(request: Request, caller: Identity, *, body: models.AccountEnd) -> HTTPResponse:
        """Ends all sessions at once, and deletes everything that the caller has written within seconds, whatever
        crashes in between. It cannot be undone. A user of the site beside sends no password, and the body may be
        absent."""
        client = address(request)
        await limits.check(PASSWORD_CHANGE_ADDRESS, client)
        await deletion.delete(caller, body.password, client)
        return json_response()


def _add_block_routes(bp: Blueprint, blocks: BlockService, auth: Authentication) -> None:
    @bp.put("/users/<user_id:str>/block")
    @endpoint(
        "Block a user",
        tag="users",
        auth=auth,
        limit=WRITING,
        responses={204: None},
        errors=(errors.NotFound, errors.ValidationFailed),
    )
    async def block(request: Request, caller: Identity, user_id: str) -> HTTPResponse:
        """Neither of the two can send in their direct conversation any more. The caller gets no notifications of the
        user, does not see their presence, posts and comments, and cannot be added to a group by them. The user is not
        notified. A user blocks at most 1,000 others."""
        await blocks.block(caller.user_id, path_id(user_id))
        return json_response()

    @bp.delete("/users/<user_id:str>/block")
    @endpoint("Unblock a user", tag="users", auth=auth, limit=WRITING, responses={204: None}, errors=(errors.NotFound,))
    async def unblock(request: Request, caller: Identity, user_id: str) -> HTTPResponse:
        """If the user blocks the caller, too, that block stays."""
        await blocks.unblock(caller.user_id, path_id(user_id))
        return json_response()

    @bp.get("/blocks")
    @endpoint(
        "List the users whom the caller blocks",
        tag="users",
        auth=auth,
        query=models.BlockQuery,
        responses={200: models.BlockPage},
    )
    async def page(request: Request, caller: Identity, *, query: models.BlockQuery) -> HTTPResponse:
        """The latest block first."""
        return json_response(await blocks.page(caller.user_id, query.limit, query.before))

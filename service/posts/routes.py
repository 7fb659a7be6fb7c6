"""HTTP routes of posts and comments."""

from functools import partial
from urllib.parse import unquote

from sanic import HTTPResponse, Request

from service.common.errors import Forbidden, NonceReused, NotFound, ValidationFailed
from service.common.identity import Identity
from service.common.ids import path_id
from service.common.moderation import Moderators
from service.http.authentication import Authentication
from service.http.blueprint import Blueprint
from service.http.endpoint import endpoint, json_response
from service.http.limits import WRITING
from service.posts.deletion_service import DeletionService
from service.posts.edit_service import EditService
from service.posts.models import (
    Comment,
    CommentChange,
    CommentPage,
    CommentQuery,
    NewComment,
    NewPost,
    Post,
    PostChange,
    PostPage,
    PostQuery,
)
from service.posts.reaction_service import ReactionService
from service.posts.service import PostService

TAG = "posts"


def blueprint(
    service: PostService,
    edits: EditService,
    deletions: DeletionService,
    reactions: ReactionService,
    moderators: Moderators,
    auth: Authentication,
) -> Blueprint:
    bp = Blueprint("posts", url_prefix="/api/v1")

    @bp.post("/posts")
    @endpoint("Publish a post", tag=TAG, auth=auth, limit=WRITING, body=NewPost, responses={201: Post})
    async def create(request: Request, caller: Identity, *, body: NewPost) -> HTTPResponse:
        return json_response(await service.create(caller.user_id, body), 201)

    @bp.get("/posts")
    @endpoint("List posts, newest first", tag=TAG, auth=auth, query=PostQuery, responses={200: PostPage})
    async def page(request: Request, caller: Identity, *, query: PostQuery) -> HTTPResponse:
        return json_response(await service.page(caller.user_id, limit=query.limit, before=query.before))

    @bp.get("/posts/<post_id:str>")
    @endpoint("Read a post", tag=TAG, auth=auth, responses={200: Post}, errors=(NotFound,))
    async def post(request: Request, caller: Identity, post_id: str) -> HTTPResponse:
        return json_response(await service.post(caller.user_id, path_id(post_id)))

    @bp.post("/posts/<post_id:str>/comments")
    @endpoint(
        "Comment on a post",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=NewComment,
        responses={201: Comment, 200: Comment},
        errors=(NotFound, NonceReused),
    )
    async def comment(request: Request, caller: Identity, post_id: str, *, body: NewComment) -> HTTPResponse:
        """Returns 200 and the earlier comment if the author has already commented on the post with this nonce."""
        stored, created = await service.comment(caller.user_id, path_id(post_id), body)
        return json_response(stored, 201 if created else 200)

    @bp.get("/posts/<post_id:str>/comments")
    @endpoint(
        "List a post's comments, oldest first",
        tag=TAG,
        auth=auth,
        query=CommentQuery,
        responses={200: CommentPage},
        errors=(NotFound,),
    )
    async def comments(request: Request, caller: Identity, post_id: str, *, query: CommentQuery) -> HTTPResponse:
        return json_response(
            await service.comments(caller.user_id, path_id(post_id), limit=query.limit, after=query.after)
        )

    @bp.patch("/posts/<post_id:str>")
    @endpoint(
        "Edit a post",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=PostChange,
        responses={200: Post},
        errors=(NotFound, Forbidden),
    )
    async def edit_post(request: Request, caller: Identity, post_id: str, *, body: PostChange) -> HTTPResponse:
        """Own posts only. Notifies those whom the text mentions for the first time. Idempotent."""
        return json_response(await edits.edit_post(caller.user_id, path_id(post_id), body.content))

    @bp.delete("/posts/<post_id:str>")
    @endpoint("Delete a post", tag=TAG, auth=auth, limit=WRITING, responses={204: None}, errors=(NotFound, Forbidden))
    async def delete_post(request: Request, caller: Identity, post_id: str) -> HTTPResponse:
        """Own posts only; a moderator deletes any that was reported. Deletes its comments and everything's
        notifications, too."""
        id = path_id(post_id)
        await deletions.delete_post(caller.user_id, id, partial(moderators.may_delete, caller, "post", id))
        return json_response()

    @bp.patch("/posts/<post_id:str>/comments/<comment_id:str>")
    @endpoint(
        "Edit a comment",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        body=CommentChange,
        responses={200: Comment},
        errors=(NotFound, Forbidden),
    )
    async def edit_comment(
        request: Request, caller: Identity, post_id: str, comment_id: str, *, body: CommentChange
    ) -> HTTPResponse:
        """Own comments only. Notifies those whom the text mentions for the first time. Idempotent."""
        return json_response(
            await edits.edit_comment(caller.user_id, path_id(post_id), path_id(comment_id), body.content)
        )

    @bp.delete("/posts/<post_id:str>/comments/<comment_id:str>")
    @endpoint(
        "Delete a comment", tag=TAG, auth=auth, limit=WRITING, responses={204: None}, errors=(NotFound, Forbidden)
    )
    async def delete_comment(request: Request, caller: Identity, post_id: str, comment_id: str) -> HTTPResponse:
        """Own comments only; a moderator deletes any that was reported. It no longer counts, and its notifications are
        deleted. While others reply to it, it stays as a tombstone: with `deleted`, and without content. Idempotent."""
        id = path_id(comment_id)
        may_delete = partial(moderators.may_delete, caller, "comment", id)
        await deletions.delete_comment(caller.user_id, path_id(post_id), id, may_delete)
        return json_response()

    @bp.put("/posts/<post_id:str>/mute")
    @endpoint("Mute a post", tag=TAG, auth=auth, limit=WRITING, responses={200: Post}, errors=(NotFound,))
    async def mute(request: Request, caller: Identity, post_id: str) -> HTTPResponse:
        """The post no longer notifies the caller. Idempotent."""
        return json_response(await service.mute(caller.user_id, path_id(post_id), on=True))

    @bp.delete("/posts/<post_id:str>/mute")
    @endpoint("Let a post notify again", tag=TAG, auth=auth, limit=WRITING, responses={200: Post}, errors=(NotFound,))
    async def unmute(request: Request, caller: Identity, post_id: str) -> HTTPResponse:
        """Idempotent."""
        return json_response(await service.mute(caller.user_id, path_id(post_id), on=False))

    @bp.put("/posts/<post_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Add a reaction to a post",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: Post},
        errors=(NotFound, ValidationFailed),
    )
    async def add_post_reaction(request: Request, caller: Identity, post_id: str, emoji: str) -> HTTPResponse:
        """Idempotent."""
        return json_response(await reactions.react_to_post(caller.user_id, path_id(post_id), unquote(emoji), on=True))

    @bp.put("/posts/<post_id:str>/comments/<comment_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Add a reaction to a comment",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: Comment},
        errors=(NotFound, ValidationFailed),
    )
    async def add_comment_reaction(
        request: Request, caller: Identity, post_id: str, comment_id: str, emoji: str
    ) -> HTTPResponse:
        """Idempotent."""
        return json_response(
            await reactions.react_to_comment(
                caller.user_id, path_id(post_id), path_id(comment_id), unquote(emoji), on=True
            )
        )

    @bp.delete("/posts/<post_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Remove a reaction from a post",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: Post},
        errors=(NotFound, ValidationFailed),
    )
    async def remove_post_reaction(request: Request, caller: Identity, post_id: str, emoji: str) -> HTTPResponse:
        """Idempotent."""
        return json_response(await reactions.react_to_post(caller.user_id, path_id(post_id), unquote(emoji), on=False))

    @bp.delete("/posts/<post_id:str>/comments/<comment_id:str>/reactions/<emoji:str>")
    @endpoint(
        "Remove a reaction from a comment",
        tag=TAG,
        auth=auth,
        limit=WRITING,
        responses={200: Comment},
        errors=(NotFound, ValidationFailed),
    )
    async def remove_comment_reaction(
        request: Request, caller: Identity, post_id: str, comment_id: str, emoji: str
    ) -> HTTPResponse:
        """Idempotent."""
        return json_response(
            await reactions.react_to_comment(
                caller.user_id, path_id(post_id), path_id(comment_id), unquote(emoji), on=False
            )
        )

    return bp

"""The command line: `python -m service`. Each command imports only what it needs: the parent process stays small."""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence

from config.settings import Settings, SettingsError, is_utf8

INVALID_SETTINGS = 2
INVALID_ARGUMENT = 2
INTERRUPTED = 128 + signal.SIGINT

ENVIRONMENT = """\
settings, from the environment (all optional):
  PORT, HOST          where to listen: 8000 on 127.0.0.1; on 0.0.0.0 if PORT is set; PORT=0: any free port
  MONGODB_URI         mongodb:// or mongodb+srv://; without it an embedded server starts
  REDIS_URL           redis://, rediss:// or unix://, also of a cluster; without it an embedded server starts
  REDIS_PREFIX        part of the name of every Redis key and channel: loa; another for each deployment on one Redis
  DATA_DIR            the embedded servers' files and the generated secret: .data
  JWT_SECRET          32 bytes or more; required as soon as MONGODB_URI is set
  JWT_SECRET_PREVIOUS other secrets whose tokens are valid, separated by commas, at most 4
  API_KEYS            keys of the site's servers, name:key, separated by commas; without any there is no server API
  AUTH_ISSUER         the `iss` of tokens of a site with a sign-in of its own; without it: Loa's own tokens only
  AUTH_JWKS_URL       where that site publishes the keys of its tokens
  AUTH_KEY            or the key itself: a public key in PEM, or a secret of 32 bytes or more for HS256
  AUTH_AUDIENCE       the `aud` that its tokens must have; without it: any
  LOCAL_ACCOUNTS      on or off: on; off: nobody registers or signs in at Loa itself
  ALLOWED_ORIGINS     other origins whose pages may connect, separated by commas
  TRUSTED_PROXIES     reverse proxies in front, whose X-Forwarded-For, -Proto and -Host are trusted: 0; 1 on Heroku
  WEB_CONCURRENCY     worker processes: 1
  ACCESS_TOKEN_TTL    seconds: 900
  REFRESH_TOKEN_TTL   seconds: 2592000, which is 30 days
  SESSION_MAX_AGE     seconds: 15552000, which is 180 days; then users sign in again
  NOTIFICATION_RETENTION_DAYS  days for which notifications are kept: 90; 0: for ever
  ATTACHMENTS_URL     where attached files are: file:///directory, s3://, gs:// or az://; without it: in the database
  ATTACHMENT_MAX_BYTES  bytes of one file: 26214400, which is 25 MB
  STATUS_TOKEN        the token that opens /status, 16 characters or more; without it there is no such page
  WEBHOOK_URL         where to post what happens; without it: nowhere
  WEBHOOK_SECRET      whsec_ and 24 to 64 bytes in Base64; several, separated by commas, all sign
  WEBHOOK_EVENTS      types of events, separated by commas: all of them
  WEBHOOK_PRIVATE     on: WEBHOOK_URL may be http:// and on a private address: off
  PUSH_HOSTS          push services that browsers may use, separated by commas: those of the browsers' vendors
  PUSH_DELAY          seconds for which something is unread before it is pushed: 10
  PUSH_CONTACT        mailto: or https: where push services can reach you: the origin of the page that subscribed
  PUSH_PRIVATE        on: push services may have private addresses: off
  SEARCH              on or off: on; off: messages are not indexed, and nobody can search them
  OTEL_EXPORTER_OTLP_ENDPOINT  where to send traces over HTTP (see OpenTelemetry's other variables); without it: nowhere
  LOG_LEVEL           DEBUG, INFO, WARNING or ERROR: INFO
  RATE_LIMITS         on or off: on; off also lifts the limit on connections per user, for load tests
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, 1 for a failure, 2 for an invalid setting or argument."""
    command = parser().parse_args(arguments)
    for name in ("text", "username", "resend"):
        try:
            setattr(command, name, utf8(getattr(command, name, "")))
        except UnicodeError:
            return fail(f"the {name} is not valid UTF-8", INVALID_ARGUMENT)
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        return fail(str(error), INVALID_SETTINGS)
    match command.command:
        case "announce":
            return announce(settings, command.text)
        case "delete-user":
            if not command.yes and sys.stdin.isatty() and not confirm(command.username):
                return fail("nothing was deleted")
            return delete_user(settings, command.username)
        case "reindex":
            return reindex(settings, rebuild=command.rebuild)
        case "release":
            return release(settings)
        case "grant" | "revoke":
            return change_role(settings, command.username, command.role, on=command.command == "grant")
        case "reset-password":
            return reset_password(settings, command.username, command.origin)
        case "webhooks":
            return webhooks(settings, command.resend)
        case "worker":
            return worker(settings, command.listener, command.control)
        case _:
            from service.processes import supervisor

            return supervisor.run(settings)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m service",
        description="Loa: realtime chat and notifications. Without a command, it serves until Ctrl-C or SIGTERM.",
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    announcing = commands.add_parser("announce", help="send an announcement to every connected user")
    announcing.add_argument("text", help="1 to 1000 characters")
    deleting = commands.add_parser("delete-user", help="delete a user with all of their data")
    deleting.add_argument("username")
    deleting.add_argument("--yes", action="store_true", help="do not ask on a terminal whether to delete the user")
    indexing = commands.add_parser("reindex", help="index the messages that are missing in the search; safe to repeat")
    indexing.add_argument(
        "--rebuild", action="store_true", help="index all messages again; repeat without, if interrupted"
    )
    commands.add_parser("release", help="prepare the database at MONGODB_URI; safe to repeat")
    resetting = commands.add_parser(
        "reset-password", help="print a link with which a user chooses a new password: good once, for an hour"
    )
    resetting.add_argument("username")
    resetting.add_argument("--origin", help="where users open the app, such as https://chat.example.com")
    for name, text in (("grant", "give a user a role"), ("revoke", "take a role from a user")):
        changing = commands.add_parser(name, help=text)
        changing.add_argument("role", choices=["moderator"])
        changing.add_argument("username")
    resending = commands.add_parser(
        "webhooks", help="list the webhooks that are no longer attempted, or send them again"
    )
    resending.add_argument("--resend", metavar="ID", default="", help="the id of one of them, or all")
    serving = commands.add_parser("worker")  # for the supervisor: without help, so that it is not listed
    serving.add_argument("listener", type=int)
    serving.add_argument("control", type=int)
    return parser


def utf8(argument: str) -> str:
    """Return the argument as text, also if the locale is C. Raises UnicodeError if its bytes are not UTF-8."""
    return argument if is_utf8(argument) else os.fsencode(argument).decode()


def confirm(username: str) -> bool:
    """Ask on the terminal whether to delete the user; return whether the answer is yes."""
    try:
        answer = input(f"Delete {username!r} with all of their data? This cannot be undone. [yes/no] ")
    except EOFError:
        return False
    return answer.strip().lower() == "yes"


def announce(settings: Settings, text: str) -> int:
    from service.commands.announce import CannotAnnounce, announce

    try:
        listeners = asyncio.run(announce(settings, text))
    except CannotAnnounce as error:
        return fail(str(error))
    print(f"Announced to {listeners} worker process{'es' if listeners > 1 else ''}.")
    return 0


def delete_user(settings: Settings, username: str) -> int:
    from service.commands.connected import CommandFailed
    from service.commands.delete_user import delete_user

    try:
        deleted = asyncio.run(delete_user(settings, username))
    except CommandFailed as error:
        return fail(str(error))
    print("Deleted: the account, " + ", ".join(f"{count} {name}" for name, count in deleted._asdict().items()) + ".")
    return 0


def reindex(settings: Settings, *, rebuild: bool) -> int:
    from service.commands.database import CannotUseDatabase
    from service.commands.reindex import reindex

    try:
        asyncio.run(reindex(settings, lambda line: print(line, flush=True), rebuild=rebuild))
    except CannotUseDatabase as error:
        return fail(str(error))
    return 0


def release(settings: Settings) -> int:
    if not settings.mongodb_uri:
        print("Nothing to do: the embedded database is prepared whenever it starts.")
        return 0
    from service.commands.release import CannotRelease, release

    try:
        is_current = asyncio.run(release(settings.mongodb_uri))
    except CannotRelease as error:
        return fail(f"MONGODB_URI: {error}")
    print("The database is prepared.")
    if not is_current:
        print("Processes of an earlier version are running. Run this again when they have ended.")
    return 0


def reset_password(settings: Settings, username: str, origin: str | None) -> int:
    from service.commands.connected import CommandFailed
    from service.commands.reset_password import reset_link

    try:
        print(asyncio.run(reset_link(settings, username, origin)))
    except CommandFailed as error:
        return fail(str(error))
    return 0


def change_role(settings: Settings, username: str, role: str, *, on: bool) -> int:
    from service.commands.change_role import change_role
    from service.commands.connected import CommandFailed

    try:
        asyncio.run(change_role(settings, username, role, on=on))
    except CommandFailed as error:
        return fail(str(error))
    print(f"{username} is {'now a' if on else 'no'} {role}.")
    return 0


def webhooks(settings: Settings, webhook_id: str) -> int:
    from service.commands.database import CannotUseDatabase
    from service.commands.webhooks import MAX_LISTED, parked, resend

    try:
        if webhook_id:
            count = asyncio.run(resend(settings, webhook_id))
            print(f"{count} webhook{'s' if count != 1 else ''} will be sent again at once.")
            return 0
        lines = asyncio.run(parked(settings))
    except CannotUseDatabase as error:
        return fail(str(error))
    print("\n".join(lines) if lines else "No webhook is parked.")
    if len(lines) == MAX_LISTED:
        print("There may be more.")
    return 0


def worker(settings: Settings, listener: int, control: int) -> int:
    # Until the worker serves, it makes hardly anything but what it keeps: searching that for garbage takes a fifth of
    # the time of its start.
    gc.disable()
    from service.processes import worker

    with socket.socket(fileno=listener) as opened, socket.socket(fileno=control) as controlled:
        return worker.run(settings, opened, controlled)


def fail(message: str, code: int = 1) -> int:
    print(f"loa: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:  # so early that nothing has started yet
        code = INTERRUPTED
    # Otherwise the interpreter would look for garbage among all its objects in the end, for up to two seconds.
    gc.freeze()
    sys.exit(code)

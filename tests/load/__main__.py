"""The command line `python -m tests.load`. All traffic stays on loopback and is bounded in count and time."""

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from tests.load import (
    bus,
    charts,
    fanout,
    growth,
    idle,
    inbox,
    machine,
    report,
    rest,
    search,
    send,
    server_notifications,
    sse,
    storm,
    webhooks,
)
from tests.load.bench import BenchmarkContext, Sizes
from tests.load.catalogue import Peer, catalogue
from tests.load.clients import load_library
from tests.load.database import load_database
from tests.load.machine import Cores
from tests.load.native import BuildError
from tests.load.progress import Progress
from tests.load.results import Record
from tests.load.runtimes import InstallError
from tests.load.thresholds import evaluate
from tests.running import ROOT

MODULES = (fanout, sse, inbox, send, search, webhooks, server_notifications, idle, storm, growth, bus, rest)
WORKLOADS: dict[str, Callable[[BenchmarkContext], list[Record]]] = {module.WORKLOAD: module.run for module in MODULES}
ALL = "all"

EPILOG = """\
Servers run on the last core, clients and datastores on the others, so the machine needs two cores and must be quiet.
Only ratios within one run are meaningful. The datastores are embedded unless MONGODB_URI and REDIS_URL name others;
there, the run creates a database of its own and drops it afterwards.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a workload. Returns the exit code: 0, or 1 if something could not be measured."""
    command = parser().parse_args(arguments)
    # SIGTERM raises KeyboardInterrupt like SIGINT, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = (Sizes.smoke() if command.smoke else Sizes()).override(**vars(command))
    work = command.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    open_files = machine.allow_open_files()
    cores, progress = Cores(), Progress()
    wanted = list(WORKLOADS) if command.workload == ALL else [command.workload]
    try:
        library = load_library(work)
    except BuildError as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    peers = choose(command.peers, catalogue(work), wanted, progress)
    records: list[Record] = []
    uris = os.environ.get("MONGODB_URI"), os.environ.get("REDIS_URL")
    with ExitStack() as stack:
        stack.enter_context(cores.on_load_cores())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=work, prefix="run-")))
        stack.enter_context(progress)
        database = stack.enter_context(load_database(directory, *uris))
        bench = BenchmarkContext(sizes, database, peers, cores, directory, library, progress, open_files, stack)
        for workload in wanted:
            records += WORKLOADS[workload](bench)
            # After each workload, so that an interrupted run keeps its finished results.
            write(command.out or work / "results", records, arguments)
    print(report.tables(records))
    if met := evaluate(records, embedded=on_embedded()):
        print("\n**thresholds**\n\n" + report.thresholds(met))
    return int(any(record.failures for record in records))


def choose(named: str | None, known: dict[str, Peer], workloads: Sequence[str], progress: Progress) -> list[Peer]:
    """Return the peers that `named` lists, installed if needed; by default those that are already installed."""
    names = list(known) if named in (None, "all") else [] if named == "none" else str(named).split(",")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"load: there is no peer {unknown[0]!r}; there are {', '.join(known)}")
    chosen = []
    for peer in map(known.__getitem__, names):
        if not any(traffic.partition("-")[0] in workloads for traffic in peer.workloads):
            continue
        missing = peer.runtime.missing()
        if missing and named is not None:
            progress.say(f"{peer.name}: {missing}; installing it")
            try:
                peer.runtime.install()
                missing = peer.runtime.missing()
            except InstallError as error:
                missing = str(error)
        if missing:
            progress.say(f"{peer.name} is left out: {missing}" + ("" if named else " (--peers installs it)"))
        else:
            chosen.append(peer)
    return chosen


def write(directory: Path, records: Sequence[Record], arguments: Sequence[str] | None) -> None:
    """Write `results.json`, `results.md` and the charts."""
    directory.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "tests.load", *(sys.argv[1:] if arguments is None else arguments)])
    met, where = evaluate(records, embedded=on_embedded()), machine.description()
    whole = {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": where,
        "records": [record.as_json() for record in records],
        "bars": [{**each.threshold._asdict(), "case": each.case, "value": each.value, "met": each.met} for each in met],
    }
    (directory / "results.json").write_text(json.dumps(whole, indent=1))
    (directory / "results.md").write_text(report.full_report(records, met, where, command))
    charts.draw(records, directory)


def on_embedded() -> bool:
    return not os.environ.get("MONGODB_URI")


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part.replace("_", "")) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    defaults = Sizes()
    # The first line of each module's docstring describes the workload.
    about = "\n".join(f"  {module.__doc__.splitlines()[0]}" for module in MODULES if module.__doc__)
    parser = argparse.ArgumentParser(
        "python -m tests.load",
        description="Measure a complete Loa beside the programs that people would use instead.",
        epilog=f"workloads:\n{about}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", choices=[*WORKLOADS, ALL], help=f"see below; {ALL}: run all, one after the other")
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help="measure these peers, installed if needed; or `all`, or `none`; "
        f"by default those that are installed. The peers are {', '.join(catalogue(Path()))}",
    )
    parser.add_argument("--smoke", action="store_true", help="use the smallest sizes, to check that everything works")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".data" / "load", help="directory of the peers and files: .data/load"
    )
    parser.add_argument("--out", type=Path, help="directory of results.json, results.md and the charts: <work>/results")
    sizes = parser.add_argument_group("sizes")
    for name, kind, what in (
        ("rounds", int, "rounds"),
        ("seconds", float, "seconds per measurement"),
        ("warm_up", float, "seconds of warm-up before it"),
        ("listeners", int, "fanout, sse: connections"),
        ("in_flight", numbers, "fanout, sse: messages in flight"),
        ("rate", float, "fanout, storm: messages a second; inbox: comments"),
        ("comments", float, "inbox: comments a second on the post of another user"),
        ("senders", int, "send, search, webhooks: connections"),
        ("idle", int, "idle: connections"),
        ("early", int, "storm: connections opened before"),
        ("storm", int, "storm: WebSockets opened at once"),
        ("resuming", int, "storm: event streams resumed at once"),
        ("connections", numbers, "growth: connections, multiples of the first"),
        ("messages", numbers, "growth: messages of a conversation"),
        ("conversations", numbers, "growth: conversations of a user"),
        ("pages", int, "growth: pages read per round"),
        ("processes", numbers, "bus: processes, at least three"),
        ("members", numbers, "bus: members of a conversation"),
        ("recipients", int, "server_notifications: people who are notified by each call"),
        ("calls", int, "server_notifications: calls, one after the other"),
        ("callers", int, "rest: users, each with one request at a time"),
        ("own_conversations", int, "rest: conversations of each user"),
    ):
        default = getattr(defaults, name)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else f"{default:g}"
        sizes.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=f"{what}: {shown}")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("load: interrupted; the results contain the finished workloads")

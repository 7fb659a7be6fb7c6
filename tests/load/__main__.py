"""The command line: `python -m tests.load`. Everything stays on loopback, is bounded in count and time, and ends."""

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

from tests.load import bus, charts, fanout, growth, idle, machine, report, send, sse, storm
from tests.load.bars import reached
from tests.load.bench import Bench, Sizes
from tests.load.catalog import Peer, catalog
from tests.load.clients import load_library
from tests.load.kits import CannotSetUp
from tests.load.machine import Cores
from tests.load.native import CannotBuild
from tests.load.progress import Progress
from tests.load.results import Record
from tests.load.world import world
from tests.running import ROOT

MODULES = (fanout, sse, send, idle, storm, growth, bus)
WORKLOADS: dict[str, Callable[[Bench], list[Record]]] = {module.WORKLOAD: module.run for module in MODULES}
ALL = "all"

EPILOG = """\
Servers run on the last core, clients and datastores on the others, so it takes two and a machine that is quiet:
only ratios within one run count. The datastores are embedded ones, unless MONGODB_URI and REDIS_URL name
others, in which a database of this run's own is made and dropped.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a workload. The exit code: 0, or 1 where something could not be measured."""
    command = parser().parse_args(arguments)
    # Whoever ends it, everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = (Sizes.smoke() if command.smoke else Sizes()).changed(**vars(command))
    work = command.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    open_files = machine.allow_open_files()
    cores, progress = Cores(), Progress()
    wanted = list(WORKLOADS) if command.workload == ALL else [command.workload]
    try:
        library = load_library(work)
    except CannotBuild as error:
        print(f"load: {error}", file=sys.stderr)
        return 1
    peers = choose(command.peers, catalog(work), wanted, progress)
    records: list[Record] = []
    uris = os.environ.get("MONGODB_URI"), os.environ.get("REDIS_URL")
    with ExitStack() as stack:
        stack.enter_context(cores.of_load())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=work, prefix="run-")))
        stack.enter_context(progress)
        made = stack.enter_context(world(directory, *uris))
        bench = Bench(sizes, made, peers, cores, directory, library, progress, open_files, stack)
        for workload in wanted:
            records += WORKLOADS[workload](bench)
            # After each, so that an interrupted run has not been for nothing.
            write(command.out or work / "results", records, arguments)
    print(report.tables(records))
    if met := reached(records):
        print("\n**the bars**\n\n" + report.bars(met))
    return int(any(record.failures for record in records))


def choose(named: str | None, known: dict[str, Peer], workloads: Sequence[str], progress: Progress) -> list[Peer]:
    """The peers that `named` names, set up where they are not yet; where it is None, those that are there."""
    names = list(known) if named in (None, "all") else [] if named == "none" else str(named).split(",")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"load: there is no peer {unknown[0]!r}; there are {', '.join(known)}")
    chosen = []
    for peer in map(known.__getitem__, names):
        if not any(talk.partition("-")[0] in workloads for talk in peer.talks):
            continue
        missing = peer.kit.missing()
        if missing and named is not None:
            progress.say(f"{peer.name}: {missing}; setting it up")
            try:
                peer.kit.set_up()
                missing = peer.kit.missing()
            except CannotSetUp as error:
                missing = str(error)
        if missing:
            progress.say(f"{peer.name} is left out: {missing}" + ("" if named else " (--peers sets it up)"))
        else:
            chosen.append(peer)
    return chosen


def write(directory: Path, records: Sequence[Record], arguments: Sequence[str] | None) -> None:
    """`results.json`, `results.md` and the charts."""
    directory.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", "-m", "tests.load", *(sys.argv[1:] if arguments is None else arguments)])
    met, where = reached(records), machine.description()
    whole = {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": where,
        "records": [record.as_json() for record in records],
        "bars": [{**each.bar._asdict(), "case": each.case, "value": each.value, "met": each.met} for each in met],
    }
    (directory / "results.json").write_text(json.dumps(whole, indent=1))
    (directory / "results.md").write_text(report.whole(records, met, where, command))
    charts.draw(records, directory)


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part.replace("_", "")) for part in text.split(","))


def parser() -> argparse.ArgumentParser:
    defaults = Sizes()
    # The first line of each module's docstring says it.
    about = "\n".join(f"  {module.__doc__.splitlines()[0]}" for module in MODULES if module.__doc__)
    parser = argparse.ArgumentParser(
        "python -m tests.load",
        description="Measure Loa, whole, beside what people would use instead.",
        epilog=f"workloads:\n{about}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workload", choices=[*WORKLOADS, ALL], help=f"see below; {ALL}: one after the other")
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help="set these up where needed, and measure them; or `all`, or `none`; "
        f"without it those that are there. They are {', '.join(catalog(Path()))}",
    )
    parser.add_argument("--smoke", action="store_true", help="the smallest sizes: does it all work?")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".data" / "load", help="where peers and files go: .data/load"
    )
    parser.add_argument("--out", type=Path, help="where results.json, results.md and the charts go: <work>/results")
    sizes = parser.add_argument_group("sizes")
    for name, kind, what in (
        ("rounds", int, "rounds"),
        ("seconds", float, "seconds of each measurement"),
        ("warm_up", float, "seconds before it that do not count"),
        ("listeners", int, "fanout, sse: connections"),
        ("in_flight", numbers, "fanout, sse: messages under way"),
        ("rate", float, "fanout, storm: messages a second"),
        ("senders", int, "send: connections"),
        ("idle", int, "idle: connections"),
        ("early", int, "storm: connections that are there before"),
        ("storm", int, "storm: connections that come at once"),
        ("connections", numbers, "growth: connections, multiples of the first"),
        ("messages", numbers, "growth: messages of a conversation"),
        ("conversations", numbers, "growth: conversations of a user"),
        ("pages", int, "growth: pages read in a round"),
    ):
        default = getattr(defaults, name)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else f"{default:g}"
        sizes.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=f"{what}: {shown}")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("load: interrupted; what was finished is in the results")

"""`python -m tests.faults`: see the package."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults import catalogue
from tests.faults.catalogue import Fault, Missing
from tests.faults.stage import Stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Break Loa on purpose; account for it.")
    parser.add_argument("name", nargs="?", help="the fault to run by itself")
    parser.add_argument("sizes", nargs="*", metavar="size=value", help="other sizes than the fault's own")
    parser.add_argument("--seed", type=int, help="of everything that is left to chance; another each time by default")
    parser.add_argument("--quick", action="store_true", help="in the sizes that pytest runs, each after the other")
    parser.add_argument("--list", action="store_true", help="the faults, and their sizes")
    arguments = parser.parse_intermixed_args()
    if arguments.list or not arguments.name:
        for name in catalogue.names():
            fault = catalogue.find(name)
            print(f"{name:20} {fault.what}")
            print(f"{'':20} {' '.join(f'{size}={value}' for size, value in fault.sizes.items())}")
        return 0
    if arguments.name not in catalogue.names():
        parser.error(f"no fault has the name {arguments.name}; --list tells those there are")
    fault = catalogue.find(arguments.name)
    given = dict(size.partition("=")[::2] for size in arguments.sizes)
    if unknown := given.keys() - fault.sizes.keys():
        parser.error(f"{fault.name} has no {', '.join(sorted(unknown))}, but {', '.join(fault.sizes)}")
    sizes = {size: type(fault.sizes[size])(value) for size, value in given.items()}
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    runs = [{**quick, **sizes} for quick in fault.quick] if arguments.quick else [sizes]
    return max(play(fault, run, seed) for run in runs)


def play(fault: Fault, sizes: dict[str, Any], seed: int) -> int:
    """Run it and print its account; the exit code."""
    shown = " ".join(f"{size}={value}" for size, value in sizes.items())
    print(f"{fault.name} {shown} --seed {seed}".replace("  ", " "), flush=True)
    began = time.monotonic()

    async def run(stage: Stage) -> None:
        async with stage:
            await fault.run(stage, **sizes)

    with tempfile.TemporaryDirectory(prefix="loa-fault-") as directory:
        stage = Stage(Path(directory), seed)
        failure: Exception | None = None
        try:
            asyncio.run(run(stage))
        except Missing as missing:
            print(f"not run: {missing}", flush=True)
            return 0
        except Exception as error:
            failure = error
        print(stage.account.table())
        print(f"{'FAILED' if failure else 'held'} after {time.monotonic() - began:.1f} s", flush=True)
        if failure:
            print(stage.logs(), file=sys.stderr)
            raise failure
    return 0


if __name__ == "__main__":
    sys.exit(main())

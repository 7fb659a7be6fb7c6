"""The command line `python -m tests.faults`; see the package's docstring."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.faults import catalogue
from tests.faults.catalogue import Fault, RequirementMissing
from tests.faults.environment import FaultEnvironment


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Break a running Loa on purpose and account for every message."
    )
    parser.add_argument("name", nargs="?", help="the fault to run")
    parser.add_argument("sizes", nargs="*", metavar="size=value", help="sizes other than the fault's defaults")
    parser.add_argument("--seed", type=int, help="seed of all random choices; by default a new one each time")
    parser.add_argument("--quick", action="store_true", help="run the sizes that pytest runs, one after the other")
    parser.add_argument("--list", action="store_true", help="list the faults and their sizes")
    arguments = parser.parse_intermixed_args()
    if arguments.list or not arguments.name:
        for name in catalogue.names():
            fault = catalogue.find(name)
            print(f"{name:20} {fault.description}")
            print(f"{'':20} {' '.join(f'{size}={value}' for size, value in fault.sizes.items())}")
        return 0
    if arguments.name not in catalogue.names():
        parser.error(f"there is no fault {arguments.name}; --list lists them")
    fault = catalogue.find(arguments.name)
    given = dict(size.partition("=")[::2] for size in arguments.sizes)
    if unknown := given.keys() - fault.sizes.keys():
        parser.error(f"{fault.name} has no size {', '.join(sorted(unknown))}; it has {', '.join(fault.sizes)}")
    sizes = {size: type(fault.sizes[size])(value) for size, value in given.items()}
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    runs = [{**quick, **sizes} for quick in fault.quick] if arguments.quick else [sizes]
    return max(run_fault(fault, run, seed) for run in runs)


def run_fault(fault: Fault, sizes: dict[str, Any], seed: int) -> int:
    """Run the fault and print its ledger. Returns the exit code; raises whatever the fault raised."""
    shown = " ".join(f"{size}={value}" for size, value in sizes.items())
    print(f"{fault.name} {shown} --seed {seed}".replace("  ", " "), flush=True)
    began = time.monotonic()

    async def run(env: FaultEnvironment) -> None:
        async with env:
            await fault.run(env, **sizes)

    with tempfile.TemporaryDirectory(prefix="loa-fault-") as directory:
        env = FaultEnvironment(Path(directory), seed)
        failure: Exception | None = None
        try:
            asyncio.run(run(env))
        except RequirementMissing as missing:
            print(f"not run: {missing}", flush=True)
            return 0
        except Exception as error:
            failure = error
        print(env.ledger.table())
        print(f"{'FAILED' if failure else 'passed'} after {time.monotonic() - began:.1f} s", flush=True)
        if failure:
            print(env.logs(), file=sys.stderr)
            raise failure
    return 0


if __name__ == "__main__":
    sys.exit(main())

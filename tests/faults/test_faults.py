"""Runs every fault with small sizes. The seed is arbitrary; a failure prints it."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults import catalogue
from tests.faults.catalogue import RequirementMissing
from tests.faults.environment import FaultEnvironment

SEED = 5


def runs() -> list[Any]:
    faults = [catalogue.find(name) for name in catalogue.names()]
    return [
        pytest.param(fault.name, sizes, id=" ".join([fault.name, *(f"{key}={value}" for key, value in sizes.items())]))
        for fault in faults
        for sizes in fault.quick
    ]


@pytest.mark.scenario
@pytest.mark.parametrize(("name", "sizes"), runs())
async def test_fault(name: str, sizes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing acknowledged is lost, nothing is duplicated, no gap is silent, and nothing is left behind."""
    env = FaultEnvironment(tmp_path, SEED)
    try:
        async with env:
            await catalogue.find(name).run(env, **sizes)
    except RequirementMissing as missing:
        pytest.skip(str(missing))
    finally:
        print(env.ledger.table())

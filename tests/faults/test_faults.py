"""Every fault that is quickly made, in its small size. The seed is one of many: a failure names it."""

from pathlib import Path
from typing import Any

import pytest

from tests.faults import catalogue
from tests.faults.catalogue import Missing
from tests.faults.stage import Stage

SEED = 5


def runs() -> list[Any]:
    faults = [catalogue.find(name) for name in catalogue.names()]
    return [
        pytest.param(fault.name, sizes, id=" ".join([fault.name, *(f"{key}={value}" for key, value in sizes.items())]))
        for fault in faults
        for sizes in fault.quick
    ]


@pytest.mark.parametrize(("name", "sizes"), runs())
async def test_fault(name: str, sizes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing acknowledged is lost, nothing comes twice, nobody misses anything in silence, nothing is left behind."""
    stage = Stage(tmp_path, SEED)
    try:
        async with stage:
            await catalogue.find(name).run(stage, **sizes)
    except Missing as missing:
        pytest.skip(str(missing))
    finally:
        print(stage.account.table())

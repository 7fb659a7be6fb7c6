"""The Grafana dashboard shows all metrics and no others."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.realtime.queue_stats import QueueStats
from service.telemetry.gauges import GaugeSources
from service.telemetry.metrics import Metrics

DASHBOARD = json.loads((Path(__file__).parents[2] / "config/grafana/loa.json").read_text())
NAME = re.compile(r"\bloa_\w+")
LABELS = re.compile(r"by \(([^)]*)\)")


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


async def exposed() -> dict[str, str]:
    """Return the metrics of a server with their types."""
    metrics = Metrics()
    metrics.set_gauge_sources(GaugeSources({}, lambda: True, lambda: 0.0, lambda: 0, QueueStats))
    await metrics.start()
    text = (await metrics.exposition()).decode()
    await metrics.close()
    types = dict(line.split(" ")[2:4] for line in text.splitlines() if line.startswith("# TYPE loa_"))
    return {name: type for name, type in types.items() if not name.endswith("_created")}


def series(types: dict[str, str]) -> set[str]:
    """Return the names of the time series in Prometheus."""
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, type in types.items() for suffix in suffixes.get(type, ("",))}


async def test_every_expression_uses_existing_metrics() -> None:
    """Renaming a metric has to rename it here."""
    names = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(names) > 15
    assert set() == names - series(await exposed())


async def test_every_metric_is_on_the_dashboard() -> None:
    types = await exposed()
    queried = " ".join(expressions())
    assert [] == [name for name in types if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", queried)]


def test_every_panel_has_title_description_and_position() -> None:
    """The titles of rows are questions."""
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    positions = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(positions)) == len(panels) == len({panel["id"] for panel in panels})
    for panel in panels:
        assert panel["title"]
        if panel["type"] == "row":
            assert panel["title"].endswith("?")
        else:
            assert panel["description"].endswith(".")
            assert panel["targets"]


async def test_it_groups_by_existing_labels() -> None:
    """An unknown label would merge all series into one."""
    metrics = Metrics()
    metrics.request_finished("GET", "/", 200, 0.1)
    metrics.connection_closed("chat", "gone")
    metrics.resumed("chat", ok=True)
    metrics.frame_received("ping")
    metrics.event_published("typing")
    metrics.queue_overflowed("chat", "bytes")
    metrics.datastore_failed("redis", TimeoutError())
    metrics.batch_committed("messages", 1)
    metrics.task_failed("notification_outbox")
    metrics.webhook_attempted("delivered")
    metrics.push_attempted("sent")
    metrics.attachment_uploaded("stored")
    metrics.set_gauge_sources(
        GaugeSources({"chat": lambda: 1}, lambda: True, lambda: 0.0, follower_lags={"webhooks": lambda: 0.0})
    )
    await metrics.start()
    text = (await metrics.exposition()).decode()
    await metrics.close()
    for expression in expressions():
        for labels in LABELS.findall(expression):
            (name,) = set(NAME.findall(expression)) if "/ sum" not in expression else {"loa_commit_batch_sum"}
            for label in labels.split(", "):
                assert re.search(rf"^{name}{{[^}}]*\b{label}=", text, re.MULTILINE), f"{name} by {label}"

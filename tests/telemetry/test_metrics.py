"""Metrics of one process, and of several processes that share a port."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, retry_until_done
from service.realtime.queue_stats import QueueStats
from service.telemetry import multiprocess
from service.telemetry.gauges import GaugeSources
from service.telemetry.metrics import Metrics

WORKER = """
import asyncio, sys
from service.telemetry.gauges import GaugeSources
from service.telemetry.metrics import Metrics

async def work(number):
    metrics = Metrics()
    metrics.set_gauge_sources(GaugeSources({"chat": lambda: number}, lambda: number != 2, lambda: number / 10))
    await metrics.start()
    for _ in range(number):
        metrics.request_finished("GET", "/", 200, 0.01)
    await metrics.exposition()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await metrics.close()

asyncio.run(work(int(sys.argv[1])))
"""


class Workers:
    """Processes that share their metrics. Number n has answered n requests and has n connections."""

    def __init__(self, numbers: list[int]) -> None:
        self.processes = {number: self._start(number) for number in numbers}
        for process in self.processes.values():
            assert process.stdout
            assert "ready\n" == process.stdout.readline()

    @staticmethod
    def _start(number: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def kill(self, number: int) -> None:
        self.processes[number].kill()
        self.processes[number].wait()

    def end(self, number: int) -> None:
        self.processes[number].communicate("\n")
        assert 0 == self.processes[number].returncode

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture
def workers() -> Iterator[Workers]:
    with multiprocess.share_metrics():
        workers = Workers([1, 2, 3])
        yield workers
        workers.close()


async def scrape(metrics: Metrics) -> dict[str, float]:
    text = (await metrics.exposition()).decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


REQUESTS = 'loa_http_requests_total{method="GET",route="/",status="200"}'
CONNECTIONS = 'loa_connections{feed="chat"}'


class TestOneProcess:
    async def test_every_metric_is_recorded(self) -> None:
        metrics = Metrics()
        metrics.request_finished("GET", "/", 200, 0.02)
        metrics.frame_received("ping")
        metrics.event_published("new_message")
        metrics.connection_closed("chat", "slow_consumer")
        metrics.resumed("notifications", ok=False)
        metrics.batch_committed("messages", 50)
        metrics.datastore_failed("redis", TimeoutError())
        metrics.queue_overflowed("chat", "bytes")
        metrics.task_failed("notification_outbox")
        metrics.ack_seconds.observe(0.004)
        metrics.bus_gaps.inc()
        found = await scrape(metrics)
        for name in (
            REQUESTS,
            'loa_http_request_seconds_bucket{le="0.025",method="GET",route="/"}',
            'loa_frames_total{type="ping"}',
            'loa_events_total{type="new_message"}',
            'loa_connections_closed_total{feed="chat",reason="slow_consumer"}',
            'loa_resumes_total{feed="notifications",outcome="reset"}',
            'loa_commit_batch_bucket{collection="messages",le="64.0"}',
            'loa_datastore_errors_total{kind="TimeoutError",store="redis"}',
            'loa_queue_overflows_total{cause="bytes",feed="chat"}',
            'loa_task_failures_total{task="notification_outbox"}',
            'loa_ack_seconds_bucket{le="0.005"}',
            "loa_bus_gaps_total",
        ):
            assert 1.0 == found[name], name

    async def test_clients_cannot_create_series(self) -> None:
        """Unknown label values count as other."""
        metrics = Metrics()
        before = len(await scrape(metrics))
        for number in range(1000):
            metrics.frame_received(f"type{number}")
            metrics.event_published(f"type{number}")
            metrics.connection_closed("chat", f"reason{number}")
            metrics.request_finished(f"METHOD{number}", None, 404, 0)
            metrics.datastore_failed("redis", type(f"Error{number}", (Exception,), {})())
        # A counter has two series and a histogram one for each bucket and three more.
        assert len(await scrape(metrics)) - before < 30

    async def test_a_scrape_updates_the_gauges(self) -> None:
        """It does not return values of the last periodic update."""
        connections = 1
        metrics = Metrics()
        metrics.set_gauge_sources(GaugeSources({"chat": lambda: connections}, lambda: True, lambda: 0.5))
        await metrics.start()
        connections = 7
        found = await scrape(metrics)
        await metrics.close()
        assert (7.0, 1.0, 0.5) == (found[CONNECTIONS], found["loa_bus_connected"], found["loa_bus_lag_seconds"])

    async def test_failures_of_background_tasks_are_counted(self) -> None:
        """By the name of the task, while the metrics are started."""
        failures = iter([OSError(), Unavailable()])

        async def step() -> None:
            if error := next(failures, None):
                raise error

        metrics = Metrics()
        await metrics.start()
        await retry_until_done(step, "notification_outbox", 0.01)
        await metrics.close()
        failures = iter([OSError()])
        await retry_until_done(step, "notification_outbox", 0.01)
        assert 2.0 == (await scrape(metrics))['loa_task_failures_total{task="notification_outbox"}']

    async def test_tasks_of_the_event_loop_are_counted(self) -> None:
        metrics = Metrics()
        metrics.set_gauge_sources(GaugeSources({}, lambda: True, lambda: 0.0))
        await metrics.start()
        before = (await scrape(metrics))["loa_tasks"]
        tasks = [asyncio.create_task(asyncio.Event().wait()) for _ in range(5)]
        assert before + 5 == (await scrape(metrics))["loa_tasks"]
        for task in tasks:
            await cancel_and_wait(task)
        await metrics.close()

    async def test_queues_of_all_connections_are_summed(self) -> None:
        """Dropped events are counted once, also those of closed connections."""
        queues = QueueStats(events=5, bytes=700, max_depth=4, dropped=3)
        metrics = Metrics()
        metrics.set_gauge_sources(GaugeSources({}, lambda: True, lambda: 0.0, lambda: 9, lambda: queues))
        await metrics.start()
        found = await scrape(metrics)
        names = ("loa_queue_events", "loa_queue_bytes", "loa_queue_deepest_events", "loa_bus_waiting")
        assert [5.0, 700.0, 4.0, 9.0] == [found[name] for name in names]
        assert 3.0 == found["loa_events_dropped_total"]
        queues = queues._replace(dropped=1)
        metrics.connection_closed("chat", "gone", 2)
        assert 3.0 == (await scrape(metrics))["loa_events_dropped_total"]
        queues = queues._replace(dropped=5)
        assert 7.0 == (await scrape(metrics))["loa_events_dropped_total"]
        await metrics.close()

    async def test_close_ends_the_update_task(self) -> None:
        metrics = Metrics()
        metrics.set_gauge_sources(GaugeSources({}, lambda: True, lambda: 0.0))
        await metrics.start()
        await metrics.close()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    async def test_two_instances_in_one_process_are_independent(self) -> None:
        one, two = Metrics(), Metrics()
        one.request_finished("GET", "/", 200, 0)
        assert REQUESTS not in await scrape(two)


class TestSeveralProcesses:
    async def test_a_scrape_of_any_process_covers_all(self, workers: Workers) -> None:
        """Counters are summed, of states the worst counts; the parent process adds nothing."""
        found = await scrape(Metrics())
        assert (6.0, 6.0) == (found[REQUESTS], found[CONNECTIONS])
        assert (0.0, 0.3) == (found["loa_bus_connected"], found["loa_bus_lag_seconds"])

    @pytest.mark.parametrize("end", ["kill", "end"])
    async def test_an_ended_process_keeps_its_counters_and_loses_its_gauges(self, workers: Workers, end: str) -> None:
        """Whether it was killed or stopped."""
        getattr(workers, end)(2)
        found = await scrape(Metrics())
        assert (6.0, 4.0, 1.0) == (found[REQUESTS], found[CONNECTIONS], found["loa_bus_connected"])

    async def test_a_starting_process_does_not_break_a_scrape(self, workers: Workers) -> None:
        """Its files exist before they have content."""
        file = Path(os.environ[multiprocess.VARIABLE]) / "counter_1.db"
        file.touch()
        scraping = asyncio.create_task(scrape(Metrics()))
        await asyncio.sleep(2 * multiprocess.READ_PAUSE)
        file.unlink()
        assert 6.0 == (await scraping)[REQUESTS]

    def test_the_shared_directory_is_private_and_removed(self) -> None:
        with multiprocess.share_metrics():
            directory = Path(os.environ[multiprocess.VARIABLE])
            assert 0o700 == directory.stat().st_mode & 0o777
            Metrics().request_finished("GET", "/", 200, 0)
            assert list(directory.iterdir())
        assert not directory.exists()
        assert multiprocess.VARIABLE not in os.environ
        Metrics().request_finished("GET", "/", 200, 0)

    def test_the_directory_of_a_killed_server_is_removed_at_the_next_start(self) -> None:
        code = (
            "import os, signal\nfrom service.telemetry import multiprocess\n"
            "with multiprocess.share_metrics():\n"
            "    print(os.environ[multiprocess.VARIABLE], flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
        )
        killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        directory = Path(killed.stdout.strip())
        assert directory.is_dir()
        with multiprocess.share_metrics():
            assert not directory.exists()

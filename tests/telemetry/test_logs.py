"""The log's format, and what it must not contain."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import BaseModel

from service.telemetry import logs


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    logs.configure("INFO")
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


class TestLine:
    def test_is_json_unless_stderr_is_a_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Timestamp, level and event come first."""
        structlog.get_logger().info("started", port=8000)
        (line,) = lines(capsys)
        assert ["timestamp", "level", "event", "port"] == list(line)
        assert ("info", "started", 8000) == (line["level"], line["event"], line["port"])
        assert line["timestamp"].endswith("Z")

    def test_of_a_library_has_the_same_format(self, capsys: pytest.CaptureFixture[str]) -> None:
        logging.getLogger("sanic.root").warning("Worker %s", 3)
        (line,) = lines(capsys)
        assert ("warning", "Worker 3") == (line["level"], line["event"])

    def test_is_written_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Configuring twice does not duplicate lines."""
        logs.configure("INFO")
        logging.getLogger("sanic.error").error("once")
        structlog.get_logger().error("once")
        assert 2 == len(lines(capsys))

    def test_fails_nobody_when_the_disk_is_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        full = io.TextIOWrapper(io.FileIO("/dev/full", "w"), write_through=True)
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(OSError, match="No space left"):
            full.write("x")
        structlog.get_logger().info("lost")

    def test_below_the_level_is_omitted(self, capsys: pytest.CaptureFixture[str]) -> None:
        """LOG_LEVEL applies to all loggers."""
        logs.configure("WARNING")
        structlog.get_logger().info("no")
        logging.getLogger("sanic.root").info("no")
        structlog.get_logger().warning("yes")
        assert ["yes"] == [line["event"] for line in lines(capsys)]

    def test_of_sanics_access_log_is_omitted(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It contains whole URLs."""
        logging.getLogger("sanic.access").info("", extra={"request": "GET /?token=hunter2"})
        assert [] == lines(capsys)

    def test_escapes_surrogates_and_control_characters(self, capsys: pytest.CaptureFixture[str]) -> None:
        structlog.get_logger().info("odd", value="\ud800\n\x1b[31m")
        assert "\ud800\n\x1b[31m" == lines(capsys)[0]["value"]

    def test_has_the_context_variables(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Also lines of libraries."""
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            structlog.get_logger().info("ours")
            logging.getLogger("sanic.error").error("theirs")
        assert ["r1", "r1"] == [line["request_id"] for line in lines(capsys)]


class TestSecrets:
    def test_in_urls_are_removed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Sanic logs a whole URL if an error handler fails."""
        logging.getLogger("sanic.error").error("Exception for uri: %s", "'http://x/?a=1&token=hunter2&ticket=hunter2'")
        written = capsys.readouterr().err
        assert "hunter2" not in written
        assert "a=1&token=" in written


class TestException:
    def test_has_tracebacks_of_itself_and_its_causes(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The first cause comes first."""
        try:
            try:
                raise KeyError("first")
            except KeyError as error:
                raise ValueError("second") from error
        except ValueError:
            structlog.get_logger().exception("failed")
        (line,) = lines(capsys)
        written = line["exception"]
        assert written.index("KeyError: 'first'") < written.index("ValueError: second")
        assert "test_logs.py:" in written

    def test_has_no_local_variables(self, capsys: pytest.CaptureFixture[str]) -> None:
        """They may contain passwords."""
        password = "hunter2"
        try:
            raise ValueError(len(password))
        except ValueError:
            structlog.get_logger().exception("failed")
            logging.getLogger("sanic.error").exception("failed")
        written = capsys.readouterr().err
        assert 2 == written.count("ValueError: 7")
        assert "hunter2" not in written

    def test_of_a_model_does_not_quote_the_input(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Pydantic's own text does."""

        class Content(BaseModel):
            length: int

        try:
            Content.model_validate({"length": "hunter2"})
        except ValueError:
            structlog.get_logger().exception("failed")
            logging.getLogger("sanic.error").exception("failed")
        written = capsys.readouterr().err
        assert 2 == written.count("ValidationError: Content: length int_parsing")
        assert "hunter2" not in written

    def test_message_has_no_token(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Some exceptions quote a URL."""
        try:
            raise RuntimeError("GET http://x/?token=hunter2 failed")
        except RuntimeError as error:
            structlog.get_logger().error("failed", exc_info=error)
        assert "RuntimeError: GET http://x/?token=… failed" in lines(capsys)[0]["exception"]

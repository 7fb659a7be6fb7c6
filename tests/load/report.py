"""Tables of the results in Markdown."""

from collections.abc import Mapping, Sequence

from tests.load import loa
from tests.load.results import METRICS, Record, Summary
from tests.load.thresholds import SMALLEST, ThresholdResult


def tables(records: Sequence[Record]) -> str:
    """One table for each case, in the order of measurement: the median and, with several rounds, the range."""
    cases = dict.fromkeys((record.workload, record.case) for record in records)
    return "\n\n".join(
        _table(workload, case, [record for record in records if (record.workload, record.case) == (workload, case)])
        for workload, case in cases
    )


def full_report(
    records: Sequence[Record], results: Sequence[ThresholdResult], machine: Mapping[str, object], command: str
) -> str:
    """The complete report, with the machine and the command that repeats the run."""
    where = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    parts = [f"`{command}` on: {where}.", tables(records), thresholds(results) if results else "", targets(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def targets(records: Sequence[Record]) -> str:
    """How each target was run."""
    found = {record.target: record.description for record in records if record.description and not record.size}
    return "\n".join(f"- {target}: {description}." for target, description in found.items())


def thresholds(results: Sequence[ThresholdResult]) -> str:
    """Which thresholds were met, and by how much."""
    rows = [["workload", "case", "what", "bar", "measured", ""]]
    for each in results:
        threshold = each.threshold
        what = METRICS[threshold.metric].heading
        times = ""
        if threshold.against:
            what += f", Loa ÷ {threshold.against}" if threshold.against != SMALLEST else ", the largest ÷ the smallest"
            times = " ×"
        sign = "≤" if threshold.at_most else "≥"
        bound, value = f"{sign} {threshold.bound:g}{times}", f"{each.value:.2f}{times}"
        rows.append([threshold.workload, each.case, what, bound, value, "met" if each.met else "**not met**"])
    return _markdown(rows)


def _table(workload: str, case: str, records: list[Record]) -> str:
    names = [name for name in METRICS if any(name in record.metrics for record in records)]
    ours = next((record for record in records if record.target == loa.NAME), None)
    first = names[0] if names else ""
    compares = ours is not None and len(records) > 1 and first in ours.metrics
    rows = [["", *(METRICS[name].heading for name in names), *(["Loa ÷ it"] if compares else [])]]
    for record in records:
        row = [record.target, *(_cell(name, record.metrics.get(name)) for name in names)]
        if ours and compares:
            row.append(_ratio(ours.metrics[first], record.metrics.get(first)) if record is not ours else "")
        rows.append(row)
    failed = [f"{record.target} failed: {failure}" for record in records for failure in record.failures]
    return "\n".join([f"**{workload}: {case}**", "", _markdown(rows), *([""] if failed else []), *failed])


def _cell(name: str, summary: Summary | None) -> str:
    if summary is None:
        return "–"
    digits = METRICS[name].digits
    text = f"{summary.median:,.{digits}f}"
    if len(summary.rounds) > 1:
        text += f" ({summary.low:,.{digits}f}–{summary.high:,.{digits}f})"
    return text


def _ratio(ours: Summary, theirs: Summary | None) -> str:
    return f"{ours.median / theirs.median:.2f}" if theirs and theirs.median else "–"


def _markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)

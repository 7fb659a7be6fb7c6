"""What a person reads of the results: tables, in Markdown, so that they can stand in a README."""

from collections.abc import Mapping, Sequence

from tests.load import loa
from tests.load.bars import SMALLEST, Reached
from tests.load.results import METRICS, Record, Spread


def tables(records: Sequence[Record]) -> str:
    """One for each case, its subjects in the order of their measuring: the median and, of several rounds, the range."""
    cases = dict.fromkeys((record.workload, record.case) for record in records)
    return "\n\n".join(
        _table(workload, case, [record for record in records if (record.workload, record.case) == (workload, case)])
        for workload, case in cases
    )


def whole(records: Sequence[Record], reached: Sequence[Reached], machine: Mapping[str, object], command: str) -> str:
    """All there is to say, with the machine and the command that repeats it."""
    where = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    parts = [f"`{command}` on: {where}.", tables(records), bars(reached) if reached else "", subjects(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def subjects(records: Sequence[Record]) -> str:
    """How each was run."""
    found = {record.subject: record.how for record in records if record.how and not record.size}
    return "\n".join(f"- {subject}: {how}." for subject, how in found.items())


def bars(reached: Sequence[Reached]) -> str:
    """Which bars were met, and by how much."""
    rows = [["workload", "case", "what", "bar", "measured", ""]]
    for each in reached:
        bar = each.bar
        what = METRICS[bar.metric].heading
        times = ""
        if bar.against:
            what += f", Loa ÷ {bar.against}" if bar.against != SMALLEST else ", the largest ÷ the smallest"
            times = " ×"
        sign = "≤" if bar.at_most else "≥"
        bound, value = f"{sign} {bar.bound:g}{times}", f"{each.value:.2f}{times}"
        rows.append([bar.workload, each.case, what, bound, value, "met" if each.met else "**not met**"])
    return _markdown(rows)


def _table(workload: str, case: str, records: list[Record]) -> str:
    names = [name for name in METRICS if any(name in record.metrics for record in records)]
    ours = next((record for record in records if record.subject == loa.NAME), None)
    first = names[0] if names else ""
    compares = ours is not None and len(records) > 1 and first in ours.metrics
    rows = [["", *(METRICS[name].heading for name in names), *(["Loa ÷ it"] if compares else [])]]
    for record in records:
        row = [record.subject, *(_cell(name, record.metrics.get(name)) for name in names)]
        if ours and compares:
            row.append(_ratio(ours.metrics[first], record.metrics.get(first)) if record is not ours else "")
        rows.append(row)
    failed = [f"{record.subject} failed: {failure}" for record in records for failure in record.failures]
    return "\n".join([f"**{workload}: {case}**", "", _markdown(rows), *([""] if failed else []), *failed])


def _cell(name: str, spread: Spread | None) -> str:
    if spread is None:
        return "–"
    digits = METRICS[name].digits
    text = f"{spread.median:,.{digits}f}"
    if len(spread.rounds) > 1:
        text += f" ({spread.low:,.{digits}f}–{spread.high:,.{digits}f})"
    return text


def _ratio(ours: Spread, theirs: Spread | None) -> str:
    return f"{ours.median / theirs.median:.2f}" if theirs and theirs.median else "–"


def _markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)

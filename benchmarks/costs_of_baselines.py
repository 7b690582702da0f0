"""What the shipped architectures cost, by the audit and by thop, each with its own front-end, one second, 12 labels.

python benchmarks/costs_of_baselines.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from networks import untrained

from kwsbench.baseline import is_torch, load_baseline
from kwsbench.budget.check import check_budget
from kwsbench.budget.question import Question
from kwsbench.budget.report import Report
from kwsbench.catalogue import baseline_paths
from kwsbench.checkpoint.network import save_network

COLUMNS = ("baseline", "parameters", "MACs (audit)", "MACs (thop)", "receptive field")


def main() -> None:
    """Prints a row per architecture, the smallest first."""
    names = [name for name in baseline_paths() if is_torch(load_baseline(name))]
    reports = {name: _report(name) for name in names}
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, report in sorted(reports.items(), key=lambda item: item[1].params):
        print(f"| `{name}` | {' | '.join(_cells(report))} |")


def _report(name: str) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.pt")
        save_network(path, untrained(name))
        return check_budget(path, Question())


def _cells(report: Report) -> tuple[str, ...]:
    macs = [f"{count.macs:,}" if count and count.macs else "-" for count in (report.audit, report.thop)]
    frames = f"{report.receptive_field_frames} frames" if report.receptive_field_frames else "-"
    return f"{report.params:,}", *macs, frames


if __name__ == "__main__":
    main()

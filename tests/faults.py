"""The table of faults that the tests tried, for docs/reliability.md."""

import pytest


class Faults:
    """How often each kind of fault was tried in this run, by the tests' own `fault` marks and rounds."""

    def __init__(self) -> None:
        self.tried: dict[str, list[int]] = {}  # the rounds of each test
        self.failed: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if mark := item.get_closest_marker("fault"):
                item.user_properties.append(("fault", mark.args[0]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        if "fault" in properties and report.when == "call" and not report.skipped:
            self.tried.setdefault(str(properties["fault"]), []).append(int(str(properties.get("rounds", 1))))
            self.failed[str(properties["fault"])] = report.failed + self.failed.get(
                str(properties["fault"]), 0
            )

    def table(self) -> str:
        rows = ["| fault | tests | times | failed |", "|---|---|---|---|"]
        for kind, rounds in sorted(self.tried.items()):
            rows.append(f"| {kind} | {len(rounds)} | {sum(rounds)} | {self.failed[kind]} |")
        total = sum(map(sum, self.tried.values()))
        rows.append(
            f"| **together** | {sum(map(len, self.tried.values()))} | {total} | {sum(self.failed.values())} |"
        )
        return "\n".join(rows)

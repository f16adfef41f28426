"""The HTML page of a suite's results: published and measured figures, findings, curves and analyses of its runs."""

from __future__ import annotations

from pathlib import Path

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.pictures import plots_of, save_pictures
from reskeras.experiments.reasons import by_reason
from reskeras.experiments.results import SuiteResult
from reskeras.experiments.suite import SuiteSpec
from reskeras.files import check_place
from reskeras.report.page import write_page
from reskeras.report.sections import Page, Section, Table
from reskeras.runs import REPORT_FILE

VERDICTS = (
    "A finding came out, or is reversed, if the difference exceeds twice its standard error and, for an error on "
    "images, McNemar's test on the images gives p < 0.05; otherwise it is undecided. The deviation between seeds is "
    "that of the two rows; if one of them has a single seed, it is that of all rows with several seeds, pooled, if "
    "that is larger; for an error it is at least the 0.16 points of v1 table 6. The rule is weak: by chance alone, a "
    "difference exceeds it three times in ten with one degree of freedom, and twice in ten with two."
)


def write_suite_page(result: SuiteResult, folder: Path, out: str | Path | None = None) -> Path:
    """Write the page of a result, by default into its folder with its pictures beside it; returns the path."""
    if out is None:
        save_pictures(result, folder)
    page = Path(out or folder / REPORT_FILE)
    check_place(page)
    return write_page(page_of_suite(result), page)


def page_of_suite(result: SuiteResult) -> Page:
    """The page of a result: the findings first."""
    sections: list[Section] = []
    if findings := result.findings():
        lines = [[verdict.word, finding.says, verdict.why] for finding, verdict in findings]
        sections.append(
            Table("Findings", ["verdict", "finding", "figures"], lines, VERDICTS, sentences=("finding", "figures"))
        )
    columns, lines = result.table()
    sections.append(
        Table(
            "Published and measured" if result.scale else "Measured",
            columns,
            lines,
            (f"Scale {result.scale}. " if result.scale else "")
            + "With two seeds: mean \u00b1 standard deviation; with more: median (mean \u00b1 standard deviation)"
            + ("; the paper's figures follow its own protocol." if result.scale else "."),
            _notes(result),
        )
    )
    sections += plots_of(result)
    columns, lines = result.runs_table()
    sections.append(Table("Runs", columns, lines, "How each figure was made.", sentences=("schedule",)))
    return Page(result.suite.title, _subtitle(result.suite), sections)


def _subtitle(suite: SuiteSpec) -> str:
    """Where the suite is from, and what is expected of it: a paper's claim, until the findings bear it out."""
    return f"{suite.source}. {'Expected: ' * bool(suite.protocol)}{suite.expects}".removeprefix(". ")


def _notes(result: SuiteResult) -> list[str]:
    notes = [f"{name.replace('_', ' ')}: {MEASURES[name].words}." for name in result.suite.measures]
    everywhere, own = result.differences()
    notes += [f"Differences from the paper: {'; '.join(everywhere)}."] if everywhere else []
    notes += [f"{row}: {'; '.join(differences)}." for row, differences in own.items()]
    return notes + [f"Failed: {each}" for each in by_reason((row.row, row.error) for row in result.failed)]

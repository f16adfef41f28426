"""Exports of runs as sections of a page: each artefact beside the Keras model, its speed, accuracy against latency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reskeras.evaluation.intervals import Interval
from reskeras.export.lite import LITE
from reskeras.export.proof import DISAGREEMENT, Proof
from reskeras.export.speed import Speed, Timing
from reskeras.files import write_csv
from reskeras.quantities import short_bytes
from reskeras.report.exports_plot import draw_exports, exports_in_words, placed
from reskeras.report.sections import Plot, Section, Table, plot

TABLE_FILE, PICTURE_FILE = "report.csv", "report.png"  # in the export folder, beside report.json
Proofs = Mapping[str, Sequence[Proof]]


def exports_of(proofs: Proofs) -> list[Section]:
    """The tables and plots of exports, by name of the run; empty without exports."""
    return [*tables_of(proofs), *_plots_of(proofs)]


def tables_of(proofs: Proofs) -> list[Table]:
    """The tables of exports, by name of the run if there are several; empty without exports."""
    columns = [
        "artefact",
        "run",
        "verdict",
        "bytes",
        "largest difference",
        "agreement",
        "accuracy",
        "Keras accuracy",
        "difference, points (95%)",
        "metric",
        "images",
    ]
    rows = [
        [
            proof.kind,
            name,
            proof.verdict.lower(),
            f"{proof.bytes:,}",
            f"{proof.difference:.1e}",
            f"{proof.agreement:.2%}",
            f"{proof.accuracy:.2%}{interval_told(proof.interval)}",
            f"{proof.keras_accuracy:.2%}",
            change_told(proof),
            proof.accuracy_of,
            f"{proof.images:,}",
        ]
        for name, proof in _each(proofs)
    ]
    caption = "Each artefact compared with the Keras model on the same images; in brackets 95% intervals."
    if not rows:
        return []
    verified = Table("Exports", columns, rows, caption)
    tables = [verified, *_speeds_of(proofs), *_integers_of(proofs), *_trials_of(proofs)]
    return tables if len(proofs) > 1 else list(map(_of_one_run, tables))


def _of_one_run(table: Table) -> Table:
    """The same without the column that names the run."""
    place = table.columns.index("run")
    lines = [[*line[:place], *line[place + 1 :]] for line in (table.columns, *table.rows)]
    return replace(table, columns=lines[0], rows=lines[1:])


def interval_told(interval: Interval | None) -> str:
    """An interval in brackets after its figure, in per cent; "" without one."""
    return f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""


def change_told(proof: Proof) -> str:
    """The interval of the difference from the Keras model's accuracy, in points; "" where there is none."""
    return f"{100 * proof.change[0]:+.2f} to {100 * proof.change[1]:+.2f}" if proof.change else ""


def speed_table(proofs: Sequence[Proof]) -> tuple[list[str], list[list[str]]]:
    """Titles and a row for each artefact that was timed: its kind, what it computes in, the time of each batch size,
    the highest throughput, loading and memory; of one that could not be timed the reason."""
    batches = _batches(proofs)
    latencies = [f"{part}, batch {batch}" for batch in batches for part in ("p50", "p99")]
    rows = [_speed_told(proof, proof.speed, batches) for proof in proofs if proof.speed]
    return ["artefact", "computed in", "threads", *latencies, "images/s", "loading", "memory"], rows


def _speed_told(proof: Proof, speed: Speed, batches: Sequence[int]) -> list[str]:
    timings = [speed.at(batch) for batch in batches]
    latencies = [told for each in timings for told in (_latency_told(each) if each else ("", ""))]
    fastest = speed.fastest
    return [
        proof.kind,
        speed.failure or computed_in(proof, speed),
        str(speed.threads),
        *latencies,
        fastest.rate if fastest else "",
        f"{speed.loading_ms:.0f} ms" if fastest else "",
        "" if speed.memory is None else short_bytes(speed.memory),
    ]


def _latency_told(timing: Timing) -> tuple[str, str]:
    return f"{timing.p50_ms:.2f} ms", f"{timing.p99_ms:.2f} ms"


def computed_in(proof: Proof, speed: Speed) -> str:
    """What an artefact computes in: integers, or what its runtime takes by itself."""
    return "integers" if proof.measure == DISAGREEMENT else speed.precision


def slower_told(proofs: Sequence[Proof]) -> list[str]:
    """A sentence where an artefact with kernels of 4 bits is slower than that with 8, at a batch of one."""
    timings = {proof.kind: proof.speed.at(1) for proof in proofs if proof.speed}
    small, usual = timings.get(f"{LITE}-int8-w4"), timings.get(f"{LITE}-int8")
    if not small or not usual or small.p50_ms <= usual.p50_ms:
        return []
    times = small.p50_ms / usual.p50_ms
    return [f"{LITE}-int8-w4 is the smaller file, but {times:.1f} times slower than {LITE}-int8 on this machine."]


def _batches(proofs: Sequence[Proof]) -> list[int]:
    return sorted({each.batch for proof in proofs if proof.speed for each in proof.speed.timings})


def _speeds_of(proofs: Proofs) -> list[Table]:
    """The table of speeds, by name of the run; empty where none was measured."""
    timed = [(name, proof) for name, proof in _each(proofs) if proof.speed]
    titles, told = speed_table([proof for _, proof in timed])
    rows = [[kind, name, *figures] for (name, _), (kind, *figures) in zip(timed, told, strict=True)]
    caption = (
        "Measured in processes of their own, one artefact after the other in turns. Loading leaves out the import of "
        "the runtime; memory is what the process grew by at most, the runtime included."
    )
    notes = [note for known in proofs.values() for note in slower_told(known)]
    return [Table("Speed of exports", [titles[0], "run", *titles[1:]], rows, caption, notes)] if rows else []


def _plots_of(proofs: Proofs) -> Iterator[Plot]:
    """A plot for each run with at least two artefacts that were timed."""
    for name, known in proofs.items():
        if len(placed(known)) > 1:
            of = "" if len(proofs) == 1 else f", {name}"
            yield plot(f"Accuracy, latency and size{of}", draw_exports(known), exports_in_words(known))


def write_exports(folder: Path, proofs: Sequence[Proof]) -> None:
    """Write what is known of the artefacts in an export folder as CSV, and the plot where two or more were timed."""
    write_csv(folder / TABLE_FILE, table_of(proofs))
    if len(placed(proofs)) > 1:
        from reskeras.report.figures import save_figure

        save_figure(draw_exports(proofs), folder / PICTURE_FILE)


def table_of(proofs: Sequence[Proof]) -> list[list[str]]:
    """All figures as rows below their titles, with full precision."""
    batches = _batches(proofs)
    rows = [_figures(proof, batches) for proof in proofs]
    cells = [["" if each is None else str(each) for each in row.values()] for row in rows]
    return [list(rows[0]), *cells] if rows else []


def _figures(proof: Proof, batches: Sequence[int]) -> dict[str, object]:
    low, high = proof.interval or (None, None)
    less, more = proof.change or (None, None)
    speed = proof.speed
    figures: dict[str, object] = {
        "artefact": proof.kind,
        "verdict": proof.verdict.lower(),
        "bytes": proof.bytes,
        "largest_difference": proof.difference,
        "agreement": proof.agreement,
        "metric": proof.accuracy_of,
        "images": proof.images,
        "accuracy": proof.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "keras_accuracy": proof.keras_accuracy,
        "change_low": less,
        "change_high": more,
        "computed_in": speed and computed_in(proof, speed),
        "threads": speed and speed.threads,
        "turns": speed and speed.turns,
        "loading_ms": speed and speed.loading_ms,
        "memory_bytes": speed and speed.memory,
    }
    for batch in batches:
        timing = speed.at(batch) if speed else None
        figures[f"p50_ms_batch_{batch}"] = timing and timing.p50_ms
        figures[f"p99_ms_batch_{batch}"] = timing and timing.p99_ms
        figures[f"images_per_second_batch_{batch}"] = timing and timing.images_per_second
    return figures


def _each(proofs: Proofs) -> Iterator[tuple[str, Proof]]:
    return ((name, proof) for name, known in proofs.items() for proof in known)


def _integers_of(proofs: Proofs) -> list[Table]:
    """The table of integer artefacts beside exact arithmetic, by name of the run; empty without any."""
    found = [
        (proof.kind, name, proof.integers.figures)
        for name, known in proofs.items()
        for proof in known
        if proof.integers
    ]
    if not found:
        return []
    rows = [[kind, name, *figures.values()] for kind, name, figures in found]
    caption = (
        "What integer artefacts compute, compared with the same arithmetic done exactly: their constants, each "
        "operation on the artefact's own inputs (the worst), and the logits of all images, in steps of the output."
    )
    return [Table("Integer arithmetic", ["artefact", "run", *found[0][2]], rows, caption)]


def _trials_of(proofs: Proofs) -> list[Table]:
    """The table of what artefacts answer in other precisions, by name of the run; empty without any."""
    rows = [
        [
            proof.kind,
            name,
            trial.precision,
            trial.verdict.lower(),
            f"{trial.difference:.1e}",
            f"{trial.agreement:.2%}",
            trial.found,
        ]
        for name, known in proofs.items()
        for proof in known
        for trial in proof.trials
    ]
    columns = ["artefact", "run", "computed in", "verdict", "largest difference", "agreement", "where"]
    caption = "The same artefacts on the same images, computed in another precision, as some devices do."
    return [Table("Exports in other precisions", columns, rows, caption)] if rows else []

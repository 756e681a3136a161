"""The results as a picture for the README: bars on a logarithmic scale, one panel per figure."""

from pathlib import Path
from typing import Any, Final

from benchmarks.report import Result
from benchmarks.table import number

_PANELS: Final = ("durable", "end_to_end", "cold_sync", "latency_p99", "disk_edited", "wire")
_COLOURS: Final = {
    "ours": "#1f6feb", "peer": "#9aa4b1", "reference": "#d9a441", "floor": "#d5dbe3",
}  # fmt: skip

_LABELS: Final = {
    "ours": "crdtstore",
    "peer": "peers, which resolve conflicts",
    "reference": "references, which do not",
    "floor": "what the machine could do",
}


def draw(result: Result, path: Path) -> None:
    """Write the picture as SVG, the same bytes for the same results."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "crdtstore"
    matplotlib.rcParams["font.size"] = 8
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    figure, panels = pyplot.subplots(3, 2, figsize=(9.5, 8.5), layout="constrained")
    for panel, name in zip(panels.flat, _PANELS, strict=True):
        _draw_panel(panel, result, name)
    machine = result["machine"]
    figure.suptitle(
        f"{result['date']}, {machine['cores']} cores, {machine['file_system']}, "
        f"fsync {machine['fsync_ms']} ms: medians on a logarithmic scale; whiskers from lowest to "
        "highest run",
        fontsize=9,
    )
    figure.legend(
        handles=[Patch(color=_COLOURS[kind], label=label) for kind, label in _LABELS.items()],
        loc="outside lower center",
        ncols=len(_LABELS),
        frameon=False,
    )
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def _draw_panel(panel: Any, result: Result, name: str) -> None:
    metric = result["metrics"][name]
    rows = [
        (subject_name, subject["kind"], subject["figures"][name])
        for subject_name, subject in result["subjects"].items()
        if name in subject["figures"]
    ]
    rows.sort(key=lambda row: row[2]["median"], reverse=not metric["is_better_high"])
    medians = [row[2]["median"] for row in rows]
    spread = [
        [row[2]["median"] - row[2]["lowest"] for row in rows],
        [row[2]["highest"] - row[2]["median"] for row in rows],
    ]
    bars = panel.barh(
        [row[0] for row in rows],
        medians,
        color=[_COLOURS[row[1]] for row in rows],
        xerr=spread,
        error_kw={"linewidth": 0.8, "ecolor": "#57606a"},
    )
    panel.bar_label(bars, [number(median) for median in medians], padding=4)
    panel.set_xscale("log")
    panel.margins(x=0.25)
    panel.xaxis.set_visible(False)
    for side in ("top", "right", "bottom"):
        panel.spines[side].set_visible(False)
    better = "more is better" if metric["is_better_high"] else "less is better"
    panel.set_title(f"{metric['title']}, {metric['unit']} ({better})", loc="left", fontsize=9)

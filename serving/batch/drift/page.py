"""The report of drift as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emotions.files.html.report import Picture, Report, Section, Table, html
from emotions.files.html.svg_plots import Axes, Line, bars, lines

_MAX_PICTURES = 8
_HOW = {
    "psi": "population stability index",
    "mahalanobis": "Mahalanobis distance of means",
    "drop": "fall of the mean confidence",
}


def page(report: Mapping[str, Any]) -> str:
    """A whole HTML document.

    Args:
        report: content of ``report.json``.
    """
    ratios = {row["statistic"]: row["ratio"] for row in report["statistics"]}
    plots = [bars("Distance over its limit: above 1 is drift", "", ratios), *_histograms(report)]
    return html(
        Report(
            "Drift",
            report["bundle"],
            [conclusion(report)],
            pictures=[Section("", [Picture(plot) for plot in plots if plot])],
            figures=[Section("", [_statistics(report), *_label_shares(report)])],
            method=_method(report),
            facts={
                "tables": ", ".join(report["tables"]),
                "clips": report["clips"],
                "reference": f"{report['reference']['clips']} clips: {report['reference']['what']}",
                "date": report["date"],
                "toolkit": report["toolkit_version"],
            },
            warnings=_warnings(report),
        )
    )


def conclusion(report: Mapping[str, Any]) -> str:
    """What was found, in a sentence."""
    drifted, judged = report["drifted"], len(report["statistics"])
    if not judged:
        return f"Nothing could be compared: {report['clips']} clips are too few."
    if not drifted:
        return f"No drift: all {judged} statistics of {report['clips']} clips are within their limits."
    return f"Drift of {', '.join(drifted)}: {len(drifted)} of {judged} statistics of {report['clips']} clips."


def _warnings(report: Mapping[str, Any]) -> list[str]:
    missing = report["not_judged"]
    return [f"not compared, for lack of figures or of clips: {', '.join(missing)}"] if missing else []


def _statistics(report: Mapping[str, Any]) -> Table:
    rows = [
        (
            row["statistic"],
            _HOW[row["measure"]],
            f"{row['distance']:.3f}",
            f"{row['limit']:.3f}",
            row["clips"],
            "drift" if row["drifted"] else "no",
        )
        for row in report["statistics"]
    ]
    accuracy = [
        f"expected accuracy of {target}: {both['current']:.3f}; of the reference {both['reference']:.3f}"
        for target, both in report["expected_accuracy"].items()
    ]
    return Table("Each statistic", ("statistic", "measured by", "distance", "limit", "clips", "drift"), rows, accuracy)


def _label_shares(report: Mapping[str, Any]) -> list[Table]:
    return [
        Table(
            f"Shares of {name.removeprefix('labels.')}",
            ("label", "reference", "now"),
            [
                (label, f"{before:.1%}", f"{now:.1%}")
                for label, before, now in zip(*(shares[key] for key in ("bins", "reference", "current")), strict=True)
            ],
        )
        for name, shares in report["shares"].items()
        if name.startswith("labels.")
    ]


def _histograms(report: Mapping[str, Any]) -> list[str]:
    """The bins of what has drifted most, then of others."""
    order = [row["statistic"] for row in report["statistics"] if row["statistic"] in report["shares"]]
    drawn = []
    for name in order[:_MAX_PICTURES]:
        shares = report["shares"][name]
        both = [
            Line(title, [*enumerate(shares[key])], dots=True, dashed=key == "reference")
            for title, key in (("reference", "reference"), ("now", "current"))
        ]
        axes = Axes("" if name.startswith("labels.") else "up to", "share of clips", names=shares["bins"])
        drawn.append(lines(name, axes, both))
    return drawn


def _method(report: Mapping[str, Any]) -> list[str]:
    rule = report["rule"]
    looks = 1 / rule["family_alpha"]
    return [
        "Each statistic of the clips is compared with the reference that the bundle carries: labels and figures by the "
        "population stability index over bins of the reference, embeddings and answers by the Mahalanobis distance of "
        "their means along the axes on which the reference varies most, and the expected accuracy, which is the mean "
        "calibrated confidence, by its fall.",
        f"A limit is what clips of one population exceed by chance once in {looks:,.0f} looks at all "
        f"{rule['comparisons']} statistics together, given how many clips are on both sides, and never below what "
        f"matters: {rule['least']['psi']:g} of the index, {rule['least']['mahalanobis']:g} standard deviations, "
        f"{rule['least']['drop']:g} of accuracy. It takes clips for independent; those of few speakers are not.",
    ]

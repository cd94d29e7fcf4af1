"""Draws `plot.svg` from `results.json`: seconds over events, both on a logarithmic scale.

Run as `plot.py FOLDER` in the contenders' environment, which has Altair.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import altair as alt

OURS = "daygate"


def main() -> None:
    """One line for each contender, labelled at its last point."""
    folder = Path(sys.argv[1])
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    rows = [
        {
            "contender": row["contender"],
            "events": row["events"],
            "seconds": max(0.01, row["wall"] - row["import"]["wall"]),
            "ours": row["contender"] == OURS,
        }
        for row in results["checks"]
        if row["kind"] == "dirty" and row["import"]
    ]
    if not rows:
        return
    last = {row["contender"]: row["events"] for row in sorted(rows, key=lambda row: row["events"])}
    for row in rows:
        row["label"] = row["contender"] if last[row["contender"]] == row["events"] else ""
    log = alt.Scale(type="log")
    sizes = sorted({row["events"] for row in rows})
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("events:Q", scale=log, title="events", axis=alt.Axis(values=sizes, format="~s", grid=False)),
        y=alt.Y("seconds:Q", scale=log, title="seconds, imports not counted", axis=alt.Axis(format="~g", tickCount=6)),
        color=alt.Color("contender:N", legend=alt.Legend(title=None, symbolType="stroke", symbolStrokeWidth=3)),
        strokeWidth=alt.condition("datum.ours", alt.value(4), alt.value(1.5)),
    )
    chart = (base.mark_line() + base.mark_point(filled=True, size=45)).properties(
        width=560, height=360, background="white", title="From file to verdict"
    )
    chart.save(folder / "plot.svg")


if __name__ == "__main__":
    main()

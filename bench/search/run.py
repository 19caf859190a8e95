#!/usr/bin/env python3
"""The samplers on a table of networks that were all trained before: a table and a plot.

    bench/search/run.py build/nightshift TABLE.json [--seeds 60] [--name nas-bench-macro]

Runs `nightshift bench search` for every sampler and number of evaluations, keeps the figures in
bench/search/results.json, and writes RESULTS-search.md and results-search.svg beside it from them.
"""

import argparse
import datetime
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
STORE = HERE / "results.json"
PAGE = HERE / "RESULTS-search.md"
PLOT = HERE / "results-search.svg"
SAMPLERS = ["surrogate", "tpe", "reinforce", "evolution", "random", "flops"]
EVALUATIONS = [20, 50, 100, 200]
COLOURS = ["#1f5fa8", "#d1662a", "#3a8a4d", "#8a4fa3", "#777777", "#b5a233"]

HEAD = """# The samplers, on tables

Written by `bench/search/run.py` from `bench/search/results.json`: do not edit this page. The sampler code is what
`nightshift search` runs; only the evaluation is a look-up. A search sees one training of each network (`test_acc[0]`)
and keeps the best by it; the figure is what that network is worth, its mean over all trainings (`mean_acc`, %): mean
and standard deviation over seeds. `flops` tries the most expensive networks from the top, `random` draws blindly.
"""


def measure(program, table, sampler, evaluations, seeds):
    words = [program, "bench", "search", "--table", table, "--sampler", sampler, "--json"]
    words += ["--evaluations", str(evaluations), "--seeds", str(seeds)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def record(args):
    rows = []
    for sampler in SAMPLERS:
        for evaluations in EVALUATIONS:
            one = measure(args.program, args.table, sampler, evaluations, args.seeds)
            keys = ("sampler", "evaluations", "seeds", "mean", "sd", "optimum", "points")
            rows.append({key: one[key] for key in keys})
            print(f"{sampler} {evaluations}: {one['mean']:.3f} +- {one['sd']:.3f}", flush=True)
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    store[args.name] = {"date": datetime.date.today().isoformat(), "rows": rows}
    STORE.write_text(json.dumps(store, indent=1) + "\n")
    return store


def page(store):
    yield HEAD
    for name, table in store.items():
        rows = table["rows"]
        yield f"## {name}\n"
        yield (
            f"{rows[0]['points']} networks, the best {rows[0]['optimum']:.2f} %; "
            f"{rows[0]['seeds']} seeds; {table['date']}.\n"
        )
        yield "| sampler |" + "".join(f" {n} evaluations |" for n in EVALUATIONS)
        yield "| --- |" + " ---: |" * len(EVALUATIONS)
        for sampler in SAMPLERS:
            cells = [f"{r['mean']:.2f} ± {r['sd']:.2f}" for r in rows if r["sampler"] == sampler]
            yield f"| `{sampler}` | " + " | ".join(cells) + " |"
        yield ""
    yield "![mean accuracy against evaluations](results-search.svg)"


def plot(name, rows):
    """Mean against evaluations, on a scale of doublings; of the first table."""
    width, height, left, top, right, bottom = 640, 360, 60, 30, 110, 45
    values = [r["mean"] for r in rows] + [rows[0]["optimum"]]
    low, high = min(values), max(values)
    span = len(EVALUATIONS) - 1

    def x(evaluations):
        return left + (width - left - right) * EVALUATIONS.index(evaluations) / span

    def y(value):
        return height - bottom - (height - top - bottom) * (value - low) / (high - low)

    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield f'<text x="{left}" y="18">{name}: accuracy of the best network found, %</text>'
    for i in range(5):
        value = low + (high - low) * i / 4
        yield f'<line x1="{left}" x2="{width - right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
        yield f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    for n in EVALUATIONS:
        yield f'<text x="{x(n):.1f}" y="{height - bottom + 18}" text-anchor="middle">{n}</text>'
    yield f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">evaluations</text>'
    for i, (sampler, colour) in enumerate(zip(SAMPLERS, COLOURS)):
        mine = [r for r in rows if r["sampler"] == sampler]
        points = " ".join(f"{x(r['evaluations']):.1f},{y(r['mean']):.1f}" for r in mine)
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for r in mine:
            yield f'<circle cx="{x(r["evaluations"]):.1f}" cy="{y(r["mean"]):.1f}" r="3" fill="{colour}"/>'
        at = top + 20 + 20 * i
        yield f'<rect x="{width - right + 14}" y="{at - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{width - right + 30}" y="{at}">{sampler}</text>'
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("table")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--name", default="NAS-Bench-Macro")
    store = record(parser.parse_args())
    PAGE.write_text("\n".join(page(store)) + "\n")
    name = next(iter(store))
    PLOT.write_text("\n".join(plot(name, store[name]["rows"])) + "\n")


if __name__ == "__main__":
    main()

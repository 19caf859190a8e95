#!/usr/bin/env python3
"""Whether searching pays: nightshift against its anchor and against random search, for equal budgets.

    bench/search/contest.py build/nightshift SET.nsd [--budget 10m] [--seeds 3] [--peer-seeds 2] [--name NAME]

Runs, one after the other on the idle machine: `nightshift search` as it is, the anchor trained for the
whole budget (`nightshift train`), and a search that only draws at random (`--sampler random`), with
the same plan. Studies are left in the current folder, and what was interrupted there is resumed. The
figures go to bench/search/contest.json, RESULTS-contest.md is written from them, and what is
already in there is not run again: an hour for each run at `--budget 1h`.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import statistics
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
STORE = HERE / "contest.json"
PAGE = HERE / "RESULTS-contest.md"
WORDS = {  # after the program; SET, BUDGET, SEED and STUDY are put in
    "nightshift": "search SET --budget BUDGET --seed SEED --study STUDY --json",
    "anchor": "train SET --genotype anchor --budget BUDGET --seed SEED --test --json",
    "random": "search SET --sampler random --budget BUDGET --seed SEED --study STUDY --json",
}
TITLES = {"nightshift": "nightshift", "anchor": "the anchor, trained for the whole budget",
          "random": "random search, the same plan"}

STUDENT_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31)  # two-sided 95 % points, of 1, 2, ... degrees of freedom

HEAD = """# Whether searching pays

Written by `bench/search/contest.py` from `bench/search/contest.json`: do not edit this page. A search has the budget
for all that it does and retrains its winner on train and validation images; `train` has it for training alone, on the
train images. A budget too small for trials is the anchor's, on train images, in a search too: samplers then have
nothing to draw. Test images are read once, at each run's end, and nothing was chosen by them.
"""


def run(args, contestant, seed):
    """One contestant's figures."""
    study = f"{args.name}-{args.budget}-{contestant}-{seed}"
    put_in = {"SET": args.set, "BUDGET": args.budget, "SEED": str(seed), "STUDY": study}
    words = [put_in.get(word, word) for word in WORDS[contestant].split()]
    start = time.monotonic()
    done = subprocess.run([args.program, *words], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    return {
        "set": args.name, "budget": args.budget, "contestant": contestant, "seed": seed,
        "date": datetime.date.today().isoformat(), "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "seconds": round(time.monotonic() - start, 1),
        "test_accuracy": found["test_accuracy"], "val_accuracy": found["val_accuracy"],
        "trials": sum(found.get("trials", {}).values()),
        "width_factor": (found.get("retrain") or {}).get("width_factor"),
        "latency_ms": found.get("latency_ms"),
    }


def drew_nothing(rows):
    """Whether searches of this budget made no trial: any sampler's would have been the same."""
    ours = [row for row in rows if row["contestant"] == "nightshift"]
    return bool(ours) and not any(row["trials"] for row in ours)


def part_of(rows, name, budget):
    return [row for row in rows if (row["set"], row["budget"]) == (name, budget)]


def contest(args, rows):
    for contestant in WORDS:
        if contestant == "random" and drew_nothing(part_of(rows, args.name, args.budget)):
            continue
        for seed in range(1, 1 + (args.seeds if contestant == "nightshift" else args.peer_seeds)):
            key = {"set": args.name, "budget": args.budget, "contestant": contestant, "seed": seed}
            if any(key.items() <= row.items() for row in rows):
                continue
            rows.append(run(args, contestant, seed))
            STORE.write_text(json.dumps(rows, indent=1) + "\n")
            print(f"{contestant} {seed}: {100 * rows[-1]['test_accuracy']:.2f} %", flush=True)


def spread(rows):
    """Standard deviation over seeds; None of one run."""
    return statistics.stdev(row["test_accuracy"] for row in rows) if len(rows) > 1 else None


def conclusion(ours, theirs, title):
    """What the runs say about ours against theirs, and what they cannot."""
    gain = statistics.mean(r["test_accuracy"] for r in ours) - statistics.mean(r["test_accuracy"] for r in theirs)
    if len(ours) < 2 and len(theirs) < 2:
        return (f"- Against {title}: {100 * gain:+.2f} points, of one run each: how much of that is the luck of a "
                "seed cannot be said.")
    squares = sum((len(rows) - 1) * spread(rows) ** 2 for rows in (ours, theirs) if len(rows) > 1)
    freedom = len(ours) + len(theirs) - 2
    error = math.sqrt(squares / freedom * (1 / len(ours) + 1 / len(theirs)))
    verdict = "more" if abs(gain) > STUDENT_T[min(freedom, len(STUDENT_T)) - 1] * error else "no more"
    return (f"- Against {title}: {100 * gain:+.2f} points, standard error over seeds {100 * error:.2f}: {verdict} than "
            f"the luck of seeds explains (Student's t, 95 %, {freedom} degrees of freedom).")


def several(values):
    """What rows have: "2", or "2, 4" where they differ."""
    return ", ".join(f"{value:g}" for value in sorted(set(values)))


def table(rows):
    yield "| contestant | runs | trials | widened | test accuracy, % | deviation | lowest, highest | seconds at most |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for contestant, title in TITLES.items():
        mine = [row for row in rows if row["contestant"] == contestant]
        if not mine:
            continue
        values = [100 * row["test_accuracy"] for row in mine]
        deviation = spread(mine)
        yield (f"| {title} | {len(mine)} | {several(row['trials'] for row in mine)} | "
               f"{several(row['width_factor'] or 1 for row in mine)} | **{statistics.mean(values):.2f}** | "
               f"{'-' if deviation is None else f'{100 * deviation:.2f}'} | "
               f"{min(values):.2f}, {max(values):.2f} | {max(row['seconds'] for row in mine):.0f} |")


def page(rows):
    yield HEAD
    for name, budget in sorted({(row["set"], row["budget"]) for row in rows}):
        part = part_of(rows, name, budget)
        ours = [row for row in part if row["contestant"] == "nightshift"]
        yield f"## {name}, {budget}\n"
        yield f"{part[-1]['machine']}; {max(row['date'] for row in part)}.\n"
        yield from table(part)
        yield ""
        for contestant, title in TITLES.items():
            theirs = [row for row in part if row["contestant"] == contestant]
            if ours and theirs and contestant != "nightshift":
                yield conclusion(ours, theirs, title)
        if drew_nothing(part):
            yield "- Against random search: no trials were made, so that its runs would be the same as nightshift's."
        yield ""
    yield ("All were judged on the same test images, so their luck is shared and only that of seeds divides them; "
           "another set of images may rank them otherwise.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("set", type=os.path.abspath)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-seeds", type=int, default=2)
    parser.add_argument("--name", help="of the data set, on the page; default: the file's")
    args = parser.parse_args()
    args.name = args.name or pathlib.Path(args.set).stem
    rows = json.loads(STORE.read_text()) if STORE.exists() else []
    contest(args, rows)
    PAGE.write_text("\n".join(page(rows)) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""How long a study of 100,000 trials takes to list and report, and a proposal at 1,000 trials.

    bench/search/store.py build/nightshift TABLE.json [--trials 100000]

Runs a small study of the built-in set, then gives it simulated trials, each with values and an
attempt as a search would have booked them, by SQL: training them would take weeks. Times the
commands that read the store, and `nightshift bench search` for what a proposal costs, and writes
RESULTS-store.md beside this file.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import sqlite3
import subprocess
import tempfile
import time

PAGE = pathlib.Path(__file__).resolve().parent / "RESULTS-store.md"
COMMANDS = [["status", "s"], ["studies"], ["trials", "s"], ["trials", "s", "--json"],
            ["trials", "s", "--pareto"], ["report", "s", "-o", "report.html"]]
SAMPLERS = ["surrogate", "tpe", "evolution", "reinforce", "random"]
TIMES = 3

HEAD = """# What studies of many trials cost besides training

Written by `bench/search/store.py`: do not edit this page. The trials are simulated, the programs that read them are
those that ship.
"""


def simulate(path, count):
    """Clones the study's first trial with other values until it has so many."""
    store = sqlite3.connect(path)
    study, run = store.execute("SELECT study_id, max(run_id) FROM runs").fetchone()
    rows = store.execute("SELECT * FROM trials ORDER BY number LIMIT 1")
    first = dict(zip([column[0] for column in rows.description], rows.fetchone()))
    begin = store.execute("SELECT max(number) + 1 FROM trials").fetchone()[0]
    triggers = store.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:  # a trial is given values while it runs; these never did
        store.execute(f"DROP TRIGGER {name}")
    rng = random.Random(1)
    for number in range(begin, count):
        trial = {key: value for key, value in first.items() if key != "trial_id"}
        trial |= {"number": number, "hash": f"{rng.getrandbits(256):064x}", "state": "COMPLETE",
                  "flops": int(first["flops"] * rng.uniform(0.2, 2)),
                  "params": int(first["params"] * rng.uniform(0.2, 2))}
        marks = ",".join("?" * len(trial))
        trial_id = store.execute(f"INSERT INTO trials ({','.join(trial)}) VALUES ({marks})",
                                 list(trial.values())).lastrowid
        values = {"val_accuracy": rng.betavariate(20, 4), "val_loss": rng.uniform(0.2, 2),
                  "latency_ms": rng.uniform(0.5, 5)}
        store.executemany("INSERT INTO trial_values VALUES (?, ?, ?)",
                          [(trial_id, key, value) for key, value in values.items()])
        store.execute("INSERT INTO attempts (study_id, run_id, trial_id, purpose, state, pid,"
                      " charged_ms, started_unix_ms, ended_unix_ms)"
                      " VALUES (?, ?, ?, 'trial', 'DONE', 1, 1000, 0, 1)", (study, run, trial_id))
    for _, sql in triggers:
        store.execute(sql)
    store.commit()
    store.close()


def seconds(words, folder):
    """The fastest of a few runs in `folder`, start of the process and output included."""
    best = float("inf")
    for _ in range(TIMES):
        start = time.monotonic()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        best = min(best, time.monotonic() - start)
    return best


def proposal_ms(program, table, sampler):
    words = [program, "bench", "search", "--table", table, "--sampler", sampler, "--json",
             "--evaluations", "1000", "--seeds", "1"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["ms_per_proposal"]


def page(args, times, proposals):
    yield HEAD
    yield (f"{datetime.date.today().isoformat()}, {platform.machine()}, {os.cpu_count()} cores; the "
           f"fastest of {TIMES} runs.\n")
    yield f"| command, {args.trials:,} trials | seconds |\n| --- | --- |"
    for command, took_s in times:
        yield f"| `nightshift {' '.join(command)}` | {took_s:.2f} |"
    yield "\n| sampler | ms a proposal, mean over the first 1,000 on a table of 8 genes |\n| --- | --- |"
    for sampler, took_ms in proposals:
        yield f"| `{sampler}` | {took_ms:.2f} |"


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("table", type=os.path.abspath)
    parser.add_argument("--trials", type=int, default=100000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "nightshift.db")
        subprocess.run([args.program, "search", "demo", "--budget", "400gflop", "--study", "s",
                        "--store", path], check=True, capture_output=True, cwd=folder)
        simulate(path, args.trials)
        times = [(words, seconds([args.program, *words, "--store", path], folder))
                 for words in COMMANDS]
    proposals = [(name, proposal_ms(args.program, args.table, name)) for name in SAMPLERS]
    PAGE.write_text("\n".join(page(args, times, proposals)) + "\n")


main()

"""Whether a study with a budget of compute comes out the same again, to the bit.

usage: repeat_compute.py NIGHTSHIFT SET [--budget 60tflop] [--threads 2] [--seed 1] [OPTION...]

Runs three studies of the same settings in the current folder: two in one go, and one that is killed
(kill -9) in its search if it has one, interrupted (Ctrl-C) early in its retraining and killed in it
twice more, resumed each time. Compares their trials, winners, weights, accuracies and work; prints
what differs and exits with 1, or prints one line of JSON. Further OPTIONs go to every `nightshift
search`.

For Fashion-MNIST on two cores: repeat_compute.py build/nightshift fashion.nsd
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

# What of a trial and of a study must be equal. Times and money are the machine's own.
TRIAL_KEYS = ["number", "state", "fail_reason", "genotype", "hash", "fidelity", "fidelity_unit",
              "seed", "val_accuracy", "val_loss", "params", "flops", "samples"]
STUDY_KEYS = ["state", "stop_reason", "trials", "winner", "winner_trial", "weights_sha256",
              "val_accuracy", "best_val_accuracy", "test_accuracy", "model_origin", "params",
              "flops", "flop_used"]
# (signal, phase in which it comes, seconds to wait there)
INTERRUPTIONS = [(signal.SIGKILL, "search", 0.0), (signal.SIGINT, "retrain", 0.7),
                 (signal.SIGKILL, "retrain", 0.4), (signal.SIGKILL, "retrain", 30.0)]
PHASES = ["search", "confirm", "retrain", "finish"]
POLL_S = 0.02


def ask(args, *words):
    """The JSON that a command prints; None when it fails."""
    done = subprocess.run([args.nightshift, *words, "--json"], capture_output=True, text=True,
                          check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def start(args, study, again):
    words = ([args.nightshift, "resume", study] if again else
             [args.nightshift, "search", args.set, "--study", study, "--budget", args.budget,
              "--threads", str(args.threads), "--seed", str(args.seed), *args.options])
    with open(f"{study}.log", "a", encoding="utf-8") as log:
        return subprocess.Popen(words + ["--json"], stdout=subprocess.DEVNULL, stderr=log)


def is_at(status, phase):
    """In the search: while a trial runs and another is done."""
    trials = status["trials"]
    return status["phase"] == phase and (phase != "search" or (trials["RUNNING"] > 0
                                                               and trials["COMPLETE"] > 0))


def is_past(status, phase):
    return status["phase"] in PHASES[PHASES.index(phase) + 1:]


def wait_for(args, process, study, phase):
    """False when the study ended, or went on to a later phase, before it came there."""
    while process.poll() is None:
        status = ask(args, "status", study)
        if status is not None and is_at(status, phase):
            return True
        if status is not None and is_past(status, phase):
            return False
        time.sleep(POLL_S)
    return False


def ends_within(process, seconds):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def run(args, study, interruptions):
    """Runs a study to its end; returns how many of the interruptions it met."""
    met = 0
    process = start(args, study, False)
    for number, phase, wait_s in interruptions:
        if not wait_for(args, process, study, phase) or ends_within(process, wait_s):
            continue
        process.send_signal(number)
        process.wait()
        met += 1
        process = start(args, study, True)
    if process.wait() != 0:
        with open(f"{study}.log", encoding="utf-8") as log:
            sys.exit(f"study {study} failed:\n{log.read()[-2000:]}")
    return met


def result_of(args, study):
    status = ask(args, "status", study)
    trials = ask(args, "trials", study)["trials"]
    return {"study": {key: status.get(key) for key in STUDY_KEYS},
            "trials": [{key: trial.get(key) for key in TRIAL_KEYS} for trial in trials]}, status


def differences(left, right, where=""):
    if isinstance(left, dict) and isinstance(right, dict):
        return [line for key in sorted(left.keys() | right.keys())
                for line in differences(left.get(key), right.get(key), f"{where}.{key}")]
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [line for i, pair in enumerate(zip(left, right))
                for line in differences(*pair, f"{where}[{i}]")]
    return [] if left == right else [f"{where[1:]}: {left!r} and {right!r}"]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("nightshift", type=os.path.abspath)
    parser.add_argument("set")
    parser.add_argument("--budget", default="60tflop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args, args.options = parser.parse_known_args()
    names = [f"repeat_{i}_{os.getpid()}" for i in (1, 2, 3)]
    met = [run(args, name, INTERRUPTIONS if name is names[2] else []) for name in names][2]
    results = [result_of(args, name) for name in names]
    found = [f"study {i + 2} differs, {line}" for i in (0, 1)
             for line in differences(results[0][0], results[i + 1][0])]
    if found:
        sys.exit("\n".join(found[:20]))
    status = results[0][1]
    print(json.dumps({"same": True, "interruptions": met, "trials": status["trials"],
                      "weights_sha256": status["weights_sha256"],
                      "test_accuracy": status["test_accuracy"],
                      "flop_used": status["flop_used"], "budget_flop": status["budget_flop"],
                      "node_ms_used": [result[1]["node_ms_used"] for result in results],
                      "node_ms_lost": [result[1]["node_ms_lost"] for result in results]}))


main()

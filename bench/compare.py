#!/usr/bin/env python3
"""Runs nightshift and its peers in turn and compares them.

    compare.py train      training steps of R9(w) against PyTorch
    compare.py infer      the exported model against onnxruntime
    compare.py neighbour  training beside a busy core as a fraction of training alone

Every round runs each program once, A B A B ...; ratios are taken within a round and their medians
over all rounds, so that a machine that slows down slows all alike. Peers stay loaded between rounds
(their --serve) and are idle while another runs. --record merges the figures into results.json and
writes RESULTS.md from it. The programs come from the environment:

    NIGHTSHIFT        our program (default: build/nightshift beside this folder)
    TORCH_PYTHONS     interpreters that have torch, separated by blanks (default: python3)
    ONNXRUNTIME_PYTHON  the interpreter that has onnxruntime (default: python3)
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import results

HERE = pathlib.Path(__file__).resolve().parent
NIGHTSHIFT = os.environ.get("NIGHTSHIFT", str(HERE.parent / "build" / "nightshift"))
TORCH_PYTHONS = os.environ.get("TORCH_PYTHONS", "python3").split()
ONNXRUNTIME_PYTHON = os.environ.get("ONNXRUNTIME_PYTHON", "python3")


def run_ours(*words):
    """What nightshift bench prints."""
    command = [NIGHTSHIFT, "bench", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


class Peer:
    """A peer that stays loaded and measures when asked."""

    def __init__(self, interpreter, script, *words):
        self.process = subprocess.Popen(
            [interpreter, str(HERE / script), *map(str, words), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"a peer ended: {' '.join(self.process.args)}")
        return json.loads(line)

    def measure(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.read()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def machine():
    """What a figure is worth nothing without."""
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    version = subprocess.run([NIGHTSHIFT, "--version"], check=True, stdout=subprocess.PIPE, text=True)
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "nightshift": version.stdout.strip(),
    }


def median(values):
    return statistics.median(list(values))


# ---- training ---------------------------------------------------------------------------------


def torch_peer(args, interpreter, width, dtype, settings):
    """A tuned peer; what tuning found is kept in `settings`."""
    words = ["--width", width, "--dtype", dtype, "--batch", args.batch, "--threads", args.threads]
    words += ["--seconds", args.seconds] + ([] if args.quick else ["--eager"])
    key = f"{interpreter} {width} {dtype}"
    if key in settings and not args.tune:
        words += ["--setting", json.dumps(settings[key]["setting"])]
        words += ["--eager-setting", json.dumps(settings[key]["eager_setting"])]
    peer = Peer(interpreter, "peer_torch.py", *words)
    settings[key] = peer.hello
    return peer


def compare_net(args, width, dtype, settings):
    peers = [torch_peer(args, python, width, dtype, settings) for python in TORCH_PYTHONS]
    words = ["train", "--net", "r9", "--width", width, "--dtype", dtype, "--batch", args.batch]
    words += ["--threads", args.threads, "--seconds", args.seconds]
    ours, theirs = [], [[] for _ in peers]
    for _ in range(args.rounds):
        ours.append(run_ours(*words))
        for i, peer in enumerate(peers):
            theirs[i].append(peer.measure())
    for peer in peers:
        peer.close()
    row = {
        "width": width,
        "dtype": dtype,
        "rounds": args.rounds,
        "images_per_s": median(o["images_per_s"] for o in ours),
        "roof_images_per_s": median(o["conv_roof_images_per_s"] for o in ours),
        "fraction_of_roof": median(o["fraction_of_roof"] for o in ours),
        "last": {key: value for key, value in ours[-1].items() if key != "ops"},
        "peers": [],
        **machine(),
    }
    for runs in theirs:
        row["peers"].append(
            {
                "name": f"PyTorch {runs[0]['version']}",
                "setting": runs[0]["setting"],
                "images_per_s": median(r["images_per_s"] for r in runs),
                "eager_images_per_s": median(r["eager_images_per_s"] for r in runs),
                "ratio": median(o["images_per_s"] / r["images_per_s"] for o, r in zip(ours, runs)),
                "eager_ratio": median(
                    o["images_per_s"] / r["eager_images_per_s"] for o, r in zip(ours, runs)
                ),
            }
        )
    return row


def compare_train(args):
    cache = HERE.parent / "build" / "peer_settings.json"  # of this machine's peers
    settings = json.loads(cache.read_text()) if cache.exists() else {}
    for dtype in args.dtypes.split(","):
        for width in map(int, args.widths.split(",")):
            row = compare_net(args, width, dtype, settings)
            cache.parent.mkdir(exist_ok=True)
            cache.write_text(json.dumps(settings))
            yield f"{dtype} {width}", row


# ---- inference --------------------------------------------------------------------------------


def compare_model(args, folder, width, threads, batch):
    model, exported = f"{folder}/r9.nsm", f"{folder}/r9.onnx"
    run_ours("infer", "--width", width, "--batch", 1, "--seconds", 0.01, "--save", model)
    subprocess.run(
        [NIGHTSHIFT, "export", model, "--format", "onnx", "-o", exported],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    words = ["--batch", batch, "--threads", threads, "--seconds", args.seconds]
    peer = Peer(ONNXRUNTIME_PYTHON, "peer_onnxruntime.py", exported, *words)
    ours, theirs = [], []
    for _ in range(args.rounds):
        ours.append(run_ours("infer", model, *words))
        theirs.append(peer.measure())
    peer.close()
    return {
        "width": width,
        "threads": threads,
        "batch": batch,
        "rounds": args.rounds,
        "latency_ms": median(o["latency_ms"] for o in ours),
        "images_per_s": median(o["images_per_s"] for o in ours),
        "peer": f"onnxruntime {theirs[0]['version']}",
        "peer_latency_ms": median(t["latency_ms"] for t in theirs),
        "peer_images_per_s": median(t["images_per_s"] for t in theirs),
        "ratio": median(o["images_per_s"] / t["images_per_s"] for o, t in zip(ours, theirs)),
        **machine(),
    }


def compare_infer(args):
    with tempfile.TemporaryDirectory() as folder:
        for width in map(int, args.widths.split(",")):
            for threads in sorted({1, args.threads}):
                for batch in 1, 256:
                    row = compare_model(args, folder, width, threads, batch)
                    yield f"{width} {threads} {batch}", row


# ---- beside a neighbour -----------------------------------------------------------------------


def busy_loop(core):
    return subprocess.Popen(
        [sys.executable, "-c", "while True: pass"],
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )


def compare_neighbour(args):
    core = max(os.sched_getaffinity(0))
    for dtype in args.dtypes.split(","):
        for width in map(int, args.widths.split(",")):
            words = ["train", "--width", width, "--dtype", dtype, "--threads", args.threads]
            words += ["--seconds", args.seconds]
            idle, beside = [], []
            for _ in range(args.rounds):
                idle.append(run_ours(*words)["images_per_s"])
                neighbour = busy_loop(core)
                try:
                    beside.append(run_ours(*words)["images_per_s"])
                finally:
                    neighbour.kill()
                    neighbour.wait()
            yield f"{dtype} {width}", {
                "width": width,
                "dtype": dtype,
                "threads": args.threads,
                "rounds": args.rounds,
                "images_per_s": median(idle),
                "beside_images_per_s": median(beside),
                "fraction": median(b / i for b, i in zip(beside, idle)),
                **machine(),
            }


# ---- the command ------------------------------------------------------------------------------

COMPARISONS = {"train": compare_train, "infer": compare_infer, "neighbour": compare_neighbour}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=COMPARISONS)
    parser.add_argument("--widths", default="16,32,64")
    parser.add_argument("--dtypes", default="f32,bf16", help="not for infer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, default=128, help="of training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each program in each round")
    parser.add_argument("--quick", action="store_true", help="one second each, about 3 minutes")
    parser.add_argument("--tune", action="store_true", help="try PyTorch's settings again")
    parser.add_argument("--record", action="store_true", help="keep the figures in RESULTS.md")
    args = parser.parse_args()
    if args.quick:
        args.seconds = 1
    for key, row in COMPARISONS[args.what](args):
        print(results.line(args.what, row), flush=True)
        if args.record:
            results.record(args.what, key, row)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Recorded figures: results.json holds them, RESULTS.md is written from it. Run it to write again."""

import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
STORE = HERE / "results.json"
PAGE = HERE / "RESULTS.md"

HEAD = """# Results

Measured by `bench/record.sh`; every row says when and on what. A ratio compares two programs that ran in turn, and is
the median over all rounds; above 1 nightshift is faster. This page is written by `bench/results.py` from
`bench/results.json`: do not edit it.
"""

TRAIN = """
## Training

Whole steps of R9(w), a ResNet-9 on 28x28x1 images, 10 labels: batch {batch}, {threads} threads, SGD with Nesterov momentum.
The roof is the sum of the net's convolutions, each alone and by the fastest of oneDNN's kernels and ours, in the same
run. PyTorch is at the fastest of its settings (channels last or not, traced or compiled or neither, foreach or fused
optimiser); "eager" is its fastest without tracing and compiling. Both sides flush denormals and keep f32 weights;
PyTorch's bf16 is autocast.
"""

ITEMS = """
### Where a step's time goes

Of the last round, in ms; MB and GB/s are what each op reads and writes in all its places of the net, "of memory" is
relative to the bandwidth of main memory measured in the same run (above 1: from caches). `bench train --each` lists
every op by itself.
"""

INFER = """
## Inference

The same ONNX file in onnxruntime, all its optimisations on, against `nn_infer` as `predict` and `evaluate` use it;
f32. Latency is of one batch.
"""

NEIGHBOUR = """
## Beside a busy core

Training with {threads} threads while a busy loop holds one of the cores, as a fraction of the same alone.
"""


def load():
    return json.loads(STORE.read_text()) if STORE.exists() else {}


def line(what, row):
    """One row for a terminal."""
    if what == "train":
        peers = ", ".join(
            f"{p['ratio']:.2f}x {p['name']} ({p['images_per_s']:.0f}; eager {p['eager_ratio']:.2f}x)"
            for p in row["peers"]
        )
        return (
            f"{row['dtype']} w={row['width']}: {row['images_per_s']:.1f} images/s, "
            f"{row['fraction_of_roof']:.3f} of roof; {peers}"
        )
    if what == "infer":
        return (
            f"w={row['width']} {row['threads']} threads, batch {row['batch']}: "
            f"{row['latency_ms']:.4f} ms, {row['ratio']:.2f}x {row['peer']} "
            f"({row['peer_latency_ms']:.4f} ms)"
        )
    return (
        f"{row['dtype']} w={row['width']}: {row['beside_images_per_s']:.1f} images/s beside a busy "
        f"core, {row['fraction']:.2f} of {row['images_per_s']:.1f}"
    )


def table(heads, rows):
    """Markdown; the first column is left-aligned, the others right."""
    yield "| " + " | ".join(heads) + " |"
    yield "| --- |" + " ---: |" * (len(heads) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machines(rows):
    """Each machine and state of the program once, with its dates."""
    seen = {}
    for row in rows:
        key = f"{row['processor']}, {row['cores']} cores, Linux {row['kernel']}; {row['nightshift']}"
        seen.setdefault(key, set()).add(row["date"])
    return [f"- {', '.join(sorted(dates))}: {key}" for key, dates in seen.items()]


def short(setting):
    """A peer's setting in a few words."""
    words = ["channels last" if setting["channels_last"] else "contiguous", setting["run"]]
    return ", ".join(words + [setting["optimiser"] + " SGD", setting["pool"]])


def train_table(rows):
    names = list(dict.fromkeys(p["name"] for row in rows for p in row["peers"]))
    heads = ["net", "images/s", "of roof"]
    for name in names:
        heads += [f"{name} images/s", "ratio", "ratio to eager"]
    cells = []
    for row in rows:
        one = [f"R9({row['width']}) {row['dtype']}", f"{row['images_per_s']:.0f}"]
        one.append(f"{row['fraction_of_roof']:.2f}")
        by_name = {p["name"]: p for p in row["peers"]}
        for name in names:
            p = by_name.get(name)
            one += (
                [f"{p['images_per_s']:.0f}", f"**{p['ratio']:.2f}**", f"{p['eager_ratio']:.2f}"]
                if p
                else ["-", "-", "-"]
            )
        cells.append(one)
    yield from table(heads, cells)
    yield ""
    yield "The peers' settings:"
    yield ""
    for row in rows:
        for p in row["peers"]:
            yield f"- R9({row['width']}) {row['dtype']}, {p['name']}: {short(p['setting'])}"


def item_tables(rows):
    for row in rows:
        last = row["last"]
        yield ""
        yield (
            f"R9({row['width']}) {row['dtype']}: {last['step_ms']:.2f} ms a step, convolutions "
            f"{last['conv_ms']:.2f} ms, all else {last['other_ms']:.2f} ms; memory "
            f"{last['roofs']['memory_gb_per_s']:.1f} GB/s"
        )
        yield ""
        yield from table(
            ["op", "ms", "of step", "MB", "GB/s", "of memory", "GFLOP/s"],
            [
                [
                    f"{k['op']} {k['pass'].replace('_', ' ')}",
                    f"{k['ms']:.3f}",
                    f"{100 * k['ms'] / last['step_ms']:.1f} %",
                    f"{k['bytes'] / 1e6:.1f}",
                    f"{k['gb_per_s']:.1f}",
                    f"{k['of_memory_bandwidth']:.2f}",
                    f"{k['gflop_per_s']:.1f}",
                ]
                for k in last["kinds"]
            ],
        )


def infer_table(rows):
    yield from table(
        ["net", "threads", "batch", "latency, ms", "images/s", "peer", "latency, ms", "ratio"],
        [
            [
                f"R9({r['width']})",
                str(r["threads"]),
                str(r["batch"]),
                f"{r['latency_ms']:.4f}",
                f"{r['images_per_s']:.0f}",
                r["peer"],
                f"{r['peer_latency_ms']:.4f}",
                f"**{r['ratio']:.2f}**",
            ]
            for r in rows
        ],
    )


def neighbour_table(rows):
    yield from table(
        ["net", "images/s alone", "beside", "fraction"],
        [
            [
                f"R9({r['width']}) {r['dtype']}",
                f"{r['images_per_s']:.0f}",
                f"{r['beside_images_per_s']:.0f}",
                f"**{r['fraction']:.2f}**",
            ]
            for r in rows
        ],
    )


def page(store):
    def section(what, text, tables):
        rows = [store[what][key] for key in sorted(store.get(what, {}), key=sort_key)]
        if not rows:
            return
        yield text.format(**{**rows[0].get("last", {}), **rows[0]})
        yield from machines(rows)
        yield ""
        yield from tables(rows)

    yield HEAD.rstrip("\n")
    yield from section("train", TRAIN, train_table)
    if store.get("train"):
        yield ITEMS.rstrip("\n")
        rows = [store["train"][key] for key in sorted(store["train"], key=sort_key)]
        yield from item_tables(rows)
    yield from section("infer", INFER, infer_table)
    yield from section("neighbour", NEIGHBOUR, neighbour_table)


def sort_key(key):
    """Words by themselves, numbers by size; f32 before bf16."""
    words = [int(word) if word.isdigit() else {"f32": 0}.get(word, 1) for word in key.split()]
    return words


def write_page(store):
    PAGE.write_text("\n".join(page(store)) + "\n")


def record(what, key, row):
    store = load()
    store.setdefault(what, {})[key] = row
    STORE.write_text(json.dumps(store, indent=1, sort_keys=True) + "\n")
    write_page(store)


if __name__ == "__main__":
    write_page(load())

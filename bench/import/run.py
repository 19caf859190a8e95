#!/usr/bin/env python3
"""Times the import of folders: wall clock, CPU, and memory at its peak beside the pack.

    run.py NIGHTSHIFT SOURCE...       [--rounds N] [--threads N]

Fashion-MNIST as 70,000 PNG files comes from make_png_folders.py. Files are read once before the clock starts,
so that decoding is measured and not the disk. The median of the rounds counts. RESULTS-import.md has figures.
"""

import argparse
import os
import pathlib
import statistics
import tempfile

from measure import measure


def import_once(program, source, threads, out):
    """(wall s, CPU s, peak MB) of one import in a process of its own."""
    code, *figures = measure([program, "import", source, "-o", out, "--threads", str(threads)])
    if code != 0:
        raise SystemExit(f"import of {source} failed")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    print("| source | files | threads | s | CPU s | files/s | peak MB | pack MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for source in args.sources:
        files = [p for p in pathlib.Path(source).rglob("*") if p.is_file()]
        for path in files:
            path.read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "set.nsd")
            rounds = [import_once(program, source, args.threads, out) for _ in range(args.rounds)]
            pack_mb = os.path.getsize(out) / 2**20
        wall, cpu, peak_mb = (statistics.median(column) for column in zip(*rounds))
        print(f"| {pathlib.Path(source).name} | {len(files)} | {args.threads} | {wall:.2f} | {cpu:.2f} "
              f"| {len(files) / wall:.0f} | {peak_mb:.0f} | {pack_mb:.0f} |")


if __name__ == "__main__":
    main()

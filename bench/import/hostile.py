#!/usr/bin/env python3
"""Imports files that nobody should import: how long it takes, how much memory, and what the user is told.

    hostile.py NIGHTSHIFT       [--lines N] [--only WORD] [--folder DIR]

Everything is made here, in a temporary folder (about 1.5 GB below --folder, or where temporary files go), one input
after the other. Exits 1 when an input is taken that should not be, or the other way about, when the sentence is not
the one for it, or when something was unpacked. RESULTS-import.md has figures.
"""

import argparse
import gzip
import io
import json
import os
import pathlib
import random
import re
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib

from measure import measure

MIB = 1 << 20
ZEROS = bytes(MIB)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(value, width=8, height=8):
    """A grey PNG of 8x8 pixels whose header may claim more."""
    rows = b"".join(b"\0" + bytes((value + x + y) % 256 for x in range(8)) for y in range(8))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


PNG_START = 33  # bytes: the signature and the header


def write_images(folder, count=10):
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for i in range(count):
            (folder / label / f"{i}.png").write_bytes(png(20 * i + ord(label)))


def zip_bomb(folder, _):
    """One image that goes on for a gigabyte."""
    path = folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/0.png", png(1))
        with archive.open("a/0.png", "w", force_zip64=True) as entry:
            entry.write(png(0)[:PNG_START])
            for _ in range(1024):
                entry.write(ZEROS)
    return path


def zip_of_bombs(folder, _):
    """Many images of 16 MiB each."""
    path = folder / "bombs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(64):
            archive.writestr(f"{'ab'[i % 2]}/{i}.png", png(i)[:PNG_START] + 16 * ZEROS)
    return path


def tar_bomb(folder, _):
    path = folder / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        entry = tarfile.TarInfo("a/0.png")
        entry.size = 1024 * MIB
        file.write(entry.tobuf())
        for _ in range(1024):
            file.write(ZEROS)
        file.write(bytes(1024))
    return path


def idx_bomb(folder, _):
    """MNIST's files in a tar: the labels are 512 MiB of zeros."""
    path = folder / "mnist.tar"
    packed = {}
    for name, magic, sizes in (("images-idx3", 0x803, (1, 1)), ("labels-idx1", 0x801, ())):
        packed[name] = io.BytesIO()
        with gzip.GzipFile(fileobj=packed[name], mode="wb") as file:
            file.write(struct.pack(f">{2 + len(sizes)}I", magic, 512 * MIB, *sizes))
            for _ in range(512 if name == "labels-idx1" else 1):
                file.write(ZEROS)
    with tarfile.open(path, "w") as archive:
        for name, file in packed.items():
            entry = tarfile.TarInfo(f"train-{name}-ubyte.gz")
            entry.size = file.tell()
            file.seek(0)
            archive.addfile(entry, file)
    return path


def tar_leading_out(folder, _):
    path = folder / "out.tar"
    write_images(folder / "set")
    with tarfile.open(path, "w") as archive:
        archive.add(folder / "set", "set")
        for name in ("../../etc/x", str(folder / "x"), "../x"):
            entry = tarfile.TarInfo(name)
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"evil"))
    return path


def large_claim(folder, _):
    write_images(folder / "claim", 5)
    (folder / "claim" / "a" / "large.png").write_bytes(png(0, 100_000, 100_000))
    return folder / "claim"


def write_lines(path, head, lines, last, count):
    """`count` lines, these in turn, but for the last."""
    block = "".join(lines[i % len(lines)] for i in range(10_000))
    with open(path, "w") as file:
        file.write(head)
        for _ in range((count - 1) // 10_000):
            file.write(block)
        file.writelines(lines[i % len(lines)] for i in range((count - 1) % 10_000))
        file.write(last)
    return path


def manifest_bad(folder, count):
    write_images(folder)
    lines = ["TRAIN,a/0.png,a\n", "TRAIN,b/0.png,b\n", "TEST,a/1.png,a\n"]
    return write_lines(folder / "bad.csv", "", lines, "TRIAN,a/0.png,a\n", count)


def manifest_lost(folder, count):
    write_images(folder)
    lines = ["TRAIN,a/0.png,a\n", "TRAIN,b/0.png,b\n", "TEST,a/1.png,a\n"]
    return write_lines(folder / "lost.csv", "", lines, "TRAIN,a/none.png,a\n", count)


def pixels_bad(folder, count):
    rng = random.Random(1)
    lines = [f"{i % 7},{' '.join(str(rng.randrange(256)) for _ in range(9))},Training\n" for i in range(70)]
    return write_lines(folder / "pixels.csv", "emotion,pixels,Usage\n", lines, "3,1 2 3 4 5 6 7 8 900,Training\n",
                       count)


# maker, what it is, exit code, the sentence (a regular expression; of what is left out, its reasons)
CASES = (
    (zip_bomb, "zip, one image of 1 GiB", 1, "bomb.zip: it unpacks to more than 250 times its size"),
    (zip_of_bombs, "zip, 64 images of 16 MiB", 1, "bombs.zip: it unpacks to more than 250 times its size"),
    (tar_bomb, "tar.gz, one image of 1 GiB", 1, "bomb.tar.gz: it unpacks to more than 250 times its size"),
    (idx_bomb, "tar, IDX labels of 512 MiB in a .gz", 1, "labels.*gz: it unpacks to more than 250 times its size"),
    (tar_leading_out, "tar with ../../etc/x", 0, "../../etc/x: its name leads out of the archive"),
    (large_claim, "PNG of 100,000x100,000 pixels", 1, "a/large.png .*100000x100000"),
    (manifest_bad, "manifest, last line bad", 1, "bad.csv: line {lines}: unknown partition 'TRIAN'"),
    (manifest_lost, "manifest, last file missing", 1, "lost.csv: line {lines}: there is no file 'a/none.png'"),
    (pixels_bad, "CSV of pixels, last line bad", 1, "pixels.csv: line {after}: '900' is no pixel"),
)


def size_mb(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files) / MIB


def sentence(folder, code):
    """What the user is told: the error, or what was left out and why."""
    if code != 0:
        return (["nothing"] + (folder / "err").read_text().splitlines())[-1].replace(f"{folder}/", "")
    dropped = json.loads((folder / "out").read_text())["dropped"]
    return "; ".join(f"{d['file']}: {d['reason']}" for d in dropped).replace(f"{folder}/", "")


def run_case(program, case, count, parent):
    """Prints a row of the table; whether all was as it should be."""
    make, what, want_code, want_words = case
    with tempfile.TemporaryDirectory(dir=parent) as above:
        folder = pathlib.Path(above).resolve() / "one" / "two"
        folder.mkdir(parents=True)
        os.chdir(folder)
        source = make(folder, count)
        before = set(pathlib.Path(above).rglob("*"))
        code, wall, _, peak_mb = measure(
            [program, "import", str(source), "-o", str(folder / "set.nsd"), "--json"],
            folder / "out", folder / "err")
        made = {p.name for p in set(pathlib.Path(above).rglob("*")) - before} - {"out", "err", "set.nsd"}
        said = sentence(folder, code)
        print(f"| {what} | {size_mb(source):.1f} | {wall:.2f} | {peak_mb:.0f} | {said} |", flush=True)
    words = want_words.format(lines=count, after=count + 1)
    if code != want_code or re.search(words, said) is None or made:
        print(f"{what}: exit code {code}, want {want_code}; \"{said}\", want \"{words}\"; made {made}", file=sys.stderr)
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--lines", type=int, default=10_000_000, help="of the CSV files")
    parser.add_argument("--only", default="", help="inputs whose description has this in it")
    parser.add_argument("--folder", help="where the temporary folder is made")
    args = parser.parse_args()
    program = os.path.abspath(args.program)
    parent = os.path.abspath(args.folder) if args.folder else None
    print("| input | MB | s | peak MB | what is said |")
    print("| --- | ---: | ---: | ---: | --- |")
    cases = [case for case in CASES if args.only in case[1]]
    good = [run_case(program, case, args.lines, parent) for case in cases]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()

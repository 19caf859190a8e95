#!/usr/bin/python3
"""Writes IDX images (MNIST's form, gzipped) as PNG files in folders, to import them again.

    make_png_folders.py FOLDER_OF_IDX OUT      makes OUT/train/LABEL/00000.png ... and OUT/test/...

Debian's python3-opencv and python3-numpy are needed.
"""

import gzip
import pathlib
import sys

import cv2
import numpy


def read_idx(path):
    """(N, H, W) or (N) uint8."""
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return numpy.frombuffer(raw, numpy.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def write_split(idx, prefix, out):
    images = read_idx(idx / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(idx / f"{prefix}-labels-idx1-ubyte.gz")
    for label in sorted(set(labels.tolist())):
        (out / str(label)).mkdir(parents=True, exist_ok=True)
    for index, (image, label) in enumerate(zip(images, labels.tolist())):
        if not cv2.imwrite(str(out / str(label) / f"{index:05}.png"), image):
            sys.exit(f"cannot write below {out}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    idx, out = map(pathlib.Path, sys.argv[1:])
    write_split(idx, "train", out / "train")
    write_split(idx, "t10k", out / "test")


if __name__ == "__main__":
    main()

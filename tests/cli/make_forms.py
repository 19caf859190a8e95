"""usage: make_forms.py COUNT: writes one kind of pictures in three forms that data sets come in.

fer.csv is in FER2013's form; open/ in that of Open Images, with four boxes in each photograph;
mnist/ holds IDX files as MNIST's. The pictures are noisy stripes of 16x16 grey pixels, and how they
run is their label. COUNT is of the pictures in each of them, a multiple of 40.
"""

import gzip
import os
import random
import struct
import sys

from make_png import png

KINDS = ("lying", "upright", "slanted")
SIDE = 16
BOXES = 4  # in a photograph, side by side
SPLITS = (("train", "Training", 8), ("validation", "PublicTest", 1), ("test", "PrivateTest", 1))


def stripes(rng, kind):
    def at(x, y):
        return (y, x, x + y)[kind] // 2 % 2

    return [[(160 if at(x, y) else 40) + rng.randrange(60) for x in range(SIDE)]
            for y in range(SIDE)]


def pictures(rng, count):
    """`count` pairs of label and rows."""
    for i in range(count):
        yield i % len(KINDS), stripes(rng, i % len(KINDS))


def write_fer(rng, count):
    with open("fer.csv", "w") as table:
        table.write("emotion,pixels,Usage\n")
        for _, usage, tenths in SPLITS:
            for kind, rows in pictures(rng, count * tenths // 10):
                values = " ".join(str(value) for row in rows for value in row)
                table.write(f"{kind},{values},{usage}\n")


def write_open(rng, count):
    os.makedirs("open", exist_ok=True)
    with open("open/class-descriptions-boxable.csv", "w") as table:
        for kind, name in enumerate(KINDS):
            table.write(f"/m/{kind},{name.capitalize()}\n")
    for split, _, tenths in SPLITS:
        os.makedirs(f"open/images/{split}", exist_ok=True)
        with open(f"open/{split}-annotations-bbox.csv", "w") as table:
            table.write("ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n")
            for i in range(count * tenths // 10 // BOXES):
                boxes = list(pictures(rng, BOXES))
                rng.shuffle(boxes)
                photo = [sum((rows[y] for _, rows in boxes), []) for y in range(SIDE)]
                with open(f"open/images/{split}/{i:03}.png", "wb") as file:
                    file.write(png(photo))
                for place, (kind, _) in enumerate(boxes):
                    table.write(f"{i:03},x,/m/{kind},1,{place / BOXES},{(place + 1) / BOXES},0,1\n")


def write_idx(rng, count):
    os.makedirs("mnist", exist_ok=True)
    for prefix, share in (("train", count * 9 // 10), ("t10k", count // 10)):
        labels, images = zip(*pictures(rng, share))
        with gzip.open(f"mnist/{prefix}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">IIII", 0x803, share, SIDE, SIDE))
            file.write(bytes(value for rows in images for row in rows for value in row))
        with gzip.open(f"mnist/{prefix}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 0x801, share) + bytes(labels))


def main():
    count = int(sys.argv[1])
    rng = random.Random(count)
    write_fer(rng, count)
    write_open(rng, count)
    write_idx(rng, count)


main()

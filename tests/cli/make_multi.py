"""usage: make_multi.py FOLDER COUNT: writes FOLDER/0.png ... and FOLDER/set.csv, a manifest of them.

Stripes of three kinds may lie over each other in an image of 16x16 pixels, which may also be dark;
what there is are its labels.
"""

import os
import random
import sys

from make_png import png

LABELS = ["lying", "upright", "slanted", "dark ground"]
SIDE = 16


def pixel(rng, has, x, y):
    lying, upright, slanted, dark = has
    value = (20 if dark else 70) + rng.randrange(20)
    value += 50 * (lying and y // 2 % 2)
    value += 50 * (upright and x // 2 % 2)
    return value + 50 * (slanted and (x + y) // 2 % 2)


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(folder)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "set.csv"), "w") as manifest:
        for i in range(count):
            has = [rng.random() < 0.4 for _ in LABELS]
            rows = [[pixel(rng, has, x, y) for x in range(SIDE)] for y in range(SIDE)]
            with open(os.path.join(folder, f"{i}.png"), "wb") as file:
                file.write(png(rows))
            names = [name for name, on in zip(LABELS, has) if on]
            manifest.write(",".join(["UNASSIGNED", f"{i}.png"] + names) + "\n")


main()

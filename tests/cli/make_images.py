"""usage: make_images.py FOLDER COUNT: writes FOLDER/0.png ... , noisy stripes of 16x16 grey pixels.

The stripes lie or stand depending on the folder's name, so that two folders can be told apart.
"""

import os
import random
import struct
import sys
import zlib

SIDE = 16


def chunk(kind, body):
    return (struct.pack(">I", len(body)) + kind + body
            + struct.pack(">I", zlib.crc32(kind + body)))


def png(rng, lying):
    rows = b""
    for y in range(SIDE):
        rows += b"\0"
        for x in range(SIDE):
            along = y if lying else x
            rows += bytes([(160 if along // 2 % 2 else 40) + rng.randrange(40)])
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    lying = len(os.path.basename(folder)) % 2 == 0
    rng = random.Random(folder)
    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        with open(os.path.join(folder, f"{i}.png"), "wb") as file:
            file.write(png(rng, lying))


main()

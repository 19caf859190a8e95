"""Compares decoded PNG files with a decoder of its own: check_png.py FOLDER_OF_PNG FOLDER_OF_RAW

FOLDER_OF_RAW holds NAME.raw for NAME.png: "WIDTH HEIGHT CHANNELS" in ASCII, a line feed, and the pixels.
The decoder here follows the PNG specification (W3C, third edition) in the plainest way; what it shares with
the program is zlib alone. Depths become 8 bits (rounded), tRNS and alpha are laid over black, palettes are
RGB. Every file must agree in every pixel.
"""

import pathlib
import struct
import sys
import zlib

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def read_chunks(raw):
    at, chunks = 8, {}
    while at < len(raw):
        (size,) = struct.unpack_from(">I", raw, at)
        kind = raw[at + 4 : at + 8].decode()
        chunks[kind] = chunks.get(kind, b"") + raw[at + 8 : at + 8 + size]
        at += 12 + size
    return chunks


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def unfilter(data, at, row_bytes, step, above):
    kind, row = data[at], bytearray(data[at + 1 : at + 1 + row_bytes])
    for i in range(row_bytes):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 255
    return row


def samples(row, count, depth):
    if depth == 16:
        return list(struct.unpack(f">{count}H", row))
    return [row[i * depth // 8] >> (8 - depth - i * depth % 8) & ((1 << depth) - 1) for i in range(count)]


def read_pass(data, at, width, height, depth, channels):
    """Rows of raw samples, and where the next pass begins."""
    row_bytes = (width * channels * depth + 7) // 8
    above, rows = bytearray(row_bytes), []
    for _ in range(height if width else 0):
        above = unfilter(data, at, row_bytes, max(1, channels * depth // 8), above)
        rows.append(samples(above, width * channels, depth))
        at += 1 + row_bytes
    return rows, at


def read_pixels(data, width, height, depth, channels, interlaced):
    """{(x, y): tuple of samples}"""
    pixels, at = {}, 0
    for x0, y0, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        columns, lines = range(x0, width, dx), range(y0, height, dy)
        rows, at = read_pass(data, at, len(columns), len(lines), depth, channels)
        for y, row in zip(lines, rows):
            for i, x in enumerate(columns):
                pixels[x, y] = tuple(row[i * channels : (i + 1) * channels])
    return pixels


def to_8_bits(value, depth):
    return (value * 255 * 2 + (1 << depth) - 1) // (2 * ((1 << depth) - 1))


def shown(pixel, colour, depth, chunks):
    """8-bit samples without alpha."""
    trns = chunks.get("tRNS", b"")
    if colour == 3:
        (index,) = pixel
        values, alpha = list(chunks["PLTE"][3 * index : 3 * index + 3]), trns[index] if index < len(trns) else 255
    else:
        hidden = bool(trns) and pixel == struct.unpack(f">{len(trns) // 2}H", trns)
        values = [to_8_bits(v, depth) for v in pixel]
        alpha = values.pop() if colour in (4, 6) else 0 if hidden else 255
    return [(v * alpha + 127) // 255 for v in values]


def decode(raw):
    chunks = read_chunks(raw)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks["IHDR"])
    pixels = read_pixels(zlib.decompress(chunks["IDAT"]), width, height, depth, CHANNELS[colour], interlaced)
    out = bytes(v for y in range(height) for x in range(width) for v in shown(pixels[x, y], colour, depth, chunks))
    return width, height, len(out) // (width * height), out


def main():
    suite, raws = map(pathlib.Path, sys.argv[1:])
    different = []
    names = sorted(p.stem for p in raws.glob("*.raw"))
    for name in names:
        head, _, pixels = (raws / f"{name}.raw").read_bytes().partition(b"\n")
        got = (*map(int, head.split()), pixels)
        if got != decode((suite / f"{name}.png").read_bytes()):
            different.append(name)
    print(f"{len(names)} files, different: {' '.join(different) or 'none'}")
    sys.exit(1 if different or not names else 0)


main()

"""usage: make_images.py FOLDER COUNT: writes FOLDER/0.png ... , noisy stripes of 16x16 grey pixels.

The stripes lie or stand depending on the folder's name, so that two folders can be told apart.
"""

import os
import random
import sys

from make_png import png

SIDE = 16


def image(rng, lying):
    return png([[(160 if (y if lying else x) // 2 % 2 else 40) + rng.randrange(40)
                 for x in range(SIDE)] for y in range(SIDE)])


def main():
    folder, count = sys.argv[1], int(sys.argv[2])
    lying = len(os.path.basename(folder)) % 2 == 0
    rng = random.Random(folder)
    os.makedirs(folder, exist_ok=True)
    for i in range(count):
        with open(os.path.join(folder, f"{i}.png"), "wb") as file:
            file.write(image(rng, lying))


main()

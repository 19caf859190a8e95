"""Archives of a folder and of a CSV file, good and bad: make_archives.py FOLDER CSV"""

import io
import os
import sys
import tarfile
import zipfile

folder, table = sys.argv[1:]
names = sorted(os.path.join(top, name) for top, _, files in os.walk(folder) for name in files)

with zipfile.ZipFile("good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for name in names:
        archive.write(name)
with tarfile.open("good.tar", "w") as archive:
    archive.add(folder)
with tarfile.open("good.tar.gz", "w:gz") as archive:
    archive.add(folder)
    for name in ("../../x", "/x"):
        entry = tarfile.TarInfo(name)
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"evil"))
    link = tarfile.TarInfo(folder + "/link.png")
    link.type = tarfile.SYMTYPE
    link.linkname = "/etc/passwd"
    archive.addfile(link)
with zipfile.ZipFile("fer.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.write(table, "some folder/" + table)

with open("good.zip", "rb") as file:
    good = bytearray(file.read())
with open("cut.zip", "wb") as file:
    file.write(good[: len(good) // 2])
for signature, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # the flag "encrypted" of every entry
    start = good.find(signature)
    while start >= 0:
        good[start + at] |= 1
        start = good.find(signature, start + 4)
with open("encryptedzip.zip", "wb") as file:
    file.write(good)

# Images that go on for ever: the header of a PNG, then zeros.
with open(names[0], "rb") as file:
    start = file.read(33)
with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
    for i in range(16):
        archive.writestr(f"{'ab'[i % 2]}/{i}.png", start + bytes(32 << 20))

# Sources, good and bad, and what import and inspect say of them.
source "$(dirname "$0")/harness.sh"

make_images "good set/lying1" 20
make_images "good set/größe" 30

expect 0 'good_set.nsd: 50 images, 16x16 grey, 2 labels' import "good set"
expect 0 'größe +24 +3 +3' inspect good_set.nsd
expect_json 'd["images"] == 50 and d["splits"] == {"train": 40, "validation": 5, "test": 5}
    and d["labels"][0]["label"] == "größe" and d["dropped"] == []' inspect good_set.nsd --json
expect_json 'd["width"] == 8 and d["height"] == 6 and d["channels"] == 3 and d["file"] == "b.nsd"
    and d["splits"]["train"] == 30' \
    import "good set" -o b.nsd --size 8x6 --channels 3 --split 60,20,20 --json

# Bad images are named, and too many of them stop the import.
cp -r "good set" bad
head -c 60 bad/lying1/0.png >bad/lying1/cut.png
: >bad/lying1/empty.png
echo text >bad/lying1/notes.txt
expect_json 'any("cut.png" in x["file"] and x["reason"] for x in d["dropped"])
    and any("empty.png" in x["file"] for x in d["dropped"])
    and any("notes.txt" in x["file"] for x in d["dropped"])' \
    import bad -o bad.nsd --max-bad 20 --json
expect 0 'dropped:' inspect bad.nsd
expect 1 'bad' import bad -o worse.nsd --max-bad 1
expect_absent 'worse.nsd*'

expect 1 'cannot import nosuch: No such file' import nosuch
mkdir nothing
expect 1 'nothing' import nothing
make_images one/label 5
expect 1 'label' import one
make_images few/label 5
make_images few/lone1 1
expect 1 'lone1' import few
expect_absent 'nothing.nsd*'
expect_absent 'one.nsd*'
expect_absent 'few.nsd*'

# Copies of one picture, conflicts, and a page of it all.
cp -r "good set" copies
cp copies/lying1/0.png "copies/lying1/<copy>.png"
cp copies/lying1/1.png copies/größe/other.png
expect 2 'drop, first or error' import copies -o copies.nsd --conflicts last
expect 1 'the same picture' import copies -o copies.nsd --conflicts error
expect_json 'd["images"] == 49 and len(d["dropped"]) == 3
    and any("duplicate of lying1/" in x["reason"] for x in d["dropped"])' \
    import copies -o copies.nsd --json
expect_json 'd["images"] == 52 and d["dropped"] == []' \
    import copies -o all.nsd --keep-duplicates --json
expect_json 'd["provenance"]["duplicates"]["conflicting_labels"] == 1
    and any("another label" in x for x in d["warnings"])
    and d["near_duplicates"]["pairs"] >= 2
    and any((x["a_file"], x["b_file"]) == ("lying1/0.png", "lying1/<copy>.png")
            for x in d["near_duplicates"]["examples"])' inspect all.nsd --json
expect 0 '^  lying1/0.png and lying1/<copy>.png' inspect all.nsd
expect 0 'page all.html' inspect all.nsd --html all.html
grep -q '<span class="file">lying1/&lt;copy&gt;.png</span>' all.html ||
    fail "inspect --html: the near-duplicate is not named"
expect 0 'page copies.html' inspect copies.nsd --html copies.html
grep -q '&lt;copy&gt;.png' copies.html || fail "inspect --html: the dropped file is not named"
grep -q 'title="lying1/[0-9]*.png, image ' copies.html || fail "inspect --html: no picture is named"
grep -q 'src="data:image/png;base64,' copies.html || fail "inspect --html: no picture"
! grep -qE '(src|href)="https?:' copies.html || fail "inspect --html: it needs the network"
"$PYTHON" -B "$HERE/check_page.py" copies.html 375 1600 2>err || fail "inspect --html: $(cat err)"
"$PYTHON" -B "$HERE/check_page.py" all.html 375 1600 2>err || fail "inspect --html: $(cat err)"

# Few images of a label are warned of.
make_images scarce/rare1 4
make_images scarce/usual 20
expect 0 "warning: label 'rare1' has only 4 images" import scarce

# Manifests: the line is named.
printf 'UNASSIGNED,good set/lying1/%d.png,a\n' {0..9} >good.csv
printf 'UNASSIGNED,good set/größe/%d.png,b\n' {0..9} >>good.csv
expect 0 '20 images' import good.csv -o csv.nsd
(cat good.csv; echo 'TRAIN,only two') >fields.csv
expect 1 'line 21|fields.csv:21' import fields.csv
(cat good.csv; echo 'EXAM,good set/lying1/0.png,a') >partition.csv
expect 1 'EXAM' import partition.csv
grep -qE 'line 21|:21' err || fail "partition.csv: no line in \"$(cat err)\""
expect_absent 'fields.nsd*'
expect_absent 'partition.nsd*'

# On a terminal it says what it does from the beginning on.
for i in {0..4999}; do
    echo "UNASSIGNED,good set/lying1/$((i % 20)).png,a$((i % 2))"
done >many.csv
"$PYTHON" "$HERE/on_terminal.py" "$PROGRAM" import many.csv -o many.nsd --keep-duplicates >out 2>err ||
    fail "import on a terminal: $(cat out err)"
grep -qE 'import many.csv  looking for images  [0-9]+ found  [0-9]+/s' out ||
    fail "import on a terminal: nothing is said of listing: $(head -c 2000 out)"
grep -q 'many.nsd: 5,000 images' out || fail "import on a terminal: $(tail -c 2000 out)"

# Pixels in a CSV file, as FER2013 has them; the line is named.
(
    echo 'emotion,pixels,Usage'
    for i in {0..29}; do
        usage=(Training PublicTest PrivateTest)
        echo "$((i % 3)),$i 1 2 3 4 5 6 7 8,${usage[i / 10]}"
    done
) >fer.csv
expect 0 '30 images, 3x3 grey, 3 labels' import fer.csv
expect_json 'd["splits"] == {"train": 10, "validation": 10, "test": 10}' inspect fer.nsd --json
expect 0 '30 images, 6x6' import fer.csv --format pixels --size 6 -o fer6.nsd
(cat fer.csv; echo '0,1 2 3 4 5 6 7 8,Training') >fer_bad.csv
expect 1 'fer_bad.csv: line 32: 8 pixels instead of 9' import fer_bad.csv
expect_absent 'fer_bad.nsd*'

# Archives: the same set, whatever it is packed in; nothing is unpacked; damage is named.
"$PYTHON" "$HERE/make_archives.py" "good set" fer.csv
expect 0 '50 images, 16x16 grey, 2 labels' import good.zip
expect 0 '50 images, 16x16 grey, 2 labels' import good.tar
expect_json 'sorted(x["file"] for x in d["dropped"]) == ["../../x", "/x", "good set/link.png"]' \
    import good.tar.gz --json
expect 0 '30 images, 3x3 grey, 3 labels' import fer.zip -o ferzip.nsd
expect 1 'zip.zip: .*encrypted' import encryptedzip.zip
expect 1 'cut.zip: it is damaged or cut off' import cut.zip
expect 1 'bomb.zip: .*zip bomb' import bomb.zip
[ -e x ] || [ -e ../x ] || [ -e ../../x ] && fail "something was unpacked"
expect_absent 'cut.nsd*'
expect_absent 'bomb.nsd*'

# Boxes, as Open Images has them.
make_images open/train 20
make_images open/test 10
printf '/m/1,Cat\n/m/2,Dog\n/m/3,"Bird, small"\n' >open/class-descriptions-boxable.csv
for split in train test; do
    echo 'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded'
    for i in {0..9}; do
        echo "$i,x,/m/$((i % 3 + 1)),1,0,0.5,0.25,1,0"
    done
    echo '0,x,/m/1,1,0.5,0.5,0,1,0'
    echo 'lost,x,/m/2,1,0,1,0,1,0'
done >open/both
head -n 13 open/both >open/train-annotations-bbox.csv
tail -n 13 open/both >open/test-annotations-bbox.csv
rm open/both
expect_json 'd["width"] == 8 and d["height"] == 12 and len(d["labels"]) == 2
    and any("train-annotations-bbox.csv line 12" in x["file"] and "degenerate" in x["reason"] for x in d["dropped"])
    and any("(lost)" in x["file"] and "missing" in x["reason"] for x in d["dropped"])
    and d["splits"]["train"] + d["splits"]["validation"] > 0 and d["splits"]["test"] > 0' \
    import open --classes Cat,dog --split 90,10,0 --json
expect 1 "no class 'Cow'" import open --classes Cat,Cow

# IDX files that are cut or disagree.
mkdir idx
printf '\0\0\10\3\0\0\0\5\0\0\0\2\0\0\0\2short' >idx/train-images-idx3-ubyte
printf '\0\0\10\1\0\0\0\5\0\1\0\1\0' >idx/train-labels-idx1-ubyte
expect 1 'train-images' import idx
expect_absent 'idx.nsd*'

# Damaged packs.
head -c 6000 good_set.nsd >short.nsd
expect 1 'short.nsd' inspect short.nsd
cp good_set.nsd flipped.nsd
printf 'X' | dd of=flipped.nsd bs=1 seek=5000 conv=notrunc status=none
expect 1 'flipped.nsd' inspect flipped.nsd
expect 1 'nosuch.nsd: No such file' inspect nosuch.nsd
expect 1 'harness.sh' inspect "$HERE/harness.sh"

# No room: every file of this shell is limited to 1 KiB, and a failed write is told.
(
    trap '' XFSZ
    ulimit -f 1
    exec "$PROGRAM" import "good set" -o full.nsd >/dev/null 2>err
)
CODE=$?
[ "$CODE" -eq 1 ] || fail "import without room: exit code $CODE, want 1"
grep -q 'nightshift: cannot' err || fail "import without room: \"$(cat err)\""
expect_absent 'full.nsd*'
expect 1 'cannot' import "good set" -o /nosuch/folder/x.nsd
expect 1 'folder' import "good set" -o idx

finish

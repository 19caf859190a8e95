# Forms that data sets come in, from the source to the report of a study: FER2013's CSV file and a
# folder of Open Images; these and IDX files also in archives.
source "$(dirname "$0")/harness.sh"

PYTHONDONTWRITEBYTECODE=1 "$PYTHON" "$HERE/make_forms.py" 400

expect 0 '400 images, 16x16 grey, 3 labels' import fer.csv
expect_json 'd["images"] == 400 and d["width"] == 16 and d["height"] == 16 and d["channels"] == 1
    and [l["label"] for l in d["labels"]] == ["Lying", "Slanted", "Upright"] and d["dropped"] == []
    and d["splits"] == {"train": 320, "validation": 40, "test": 40}' import open --json
expect_json 'd["splits"]["test"] == 40 and [l["label"] for l in d["labels"]] == ["0", "1", "2"]' \
    import mnist --json

# The same in archives, an archive of archives included: what is in mnist/ is gzipped.
sha256_of() {
    run inspect "$1" --json
    "$PYTHON" -c 'import json; print(json.load(open("out"))["sha256"])'
}
for form in open mnist; do
    want=$(sha256_of $form.nsd)
    "$PYTHON" -m zipfile -c $form.zip $form
    "$PYTHON" -m tarfile -c $form.tar.gz $form
    for archive in $form.zip $form.tar.gz; do
        expect 0 '400 images, 16x16 grey, 3 labels' import $archive -o packed.nsd
        [ $form = open ] || [ "$(sha256_of packed.nsd)" = "$want" ] ||
            fail "$archive: the pack differs from that of $form/"
    done
done

# From a set to a report.
for form in fer open; do
    run search $form.nsd --study of-$form --budget 150gflop --threads 2 --json
    [ "$CODE" -eq 0 ] || fail "search $form.nsd: exit code $CODE, want 0: $(cat err)"
    check_json 'd["state"] == "COMPLETE" and d["test_accuracy"] > 0.5' "search $form.nsd"
    expect 0 "^wrote $form.html" report of-$form -o $form.html
    grep -q 'id="confusion"' $form.html || fail "report of $form: no confusion matrix"
done
grep -q 'Slanted' open.html || fail "report: no label of Open Images"

finish

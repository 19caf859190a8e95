# One network: train, evaluate, predict, export.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 150
make_images source/upright 150
"$PROGRAM" import source -o set.nsd >/dev/null 2>&1 || fail "import"

expect_json 'd["model"] == "m.nsm" and d["val_accuracy"] > 0.9 and d["params"] > 1000
    and d["samples"] > 0 and d["genotype"]["stem_width"] > 0 and len(d["weights_sha256"]) == 64' \
    train set.nsd --genotype anchor --epochs 8 --threads 1 -o m.nsm --seed 1 --json
expect_absent 'm.nsm.*'
sha256=$("$PYTHON" -c 'import json; print(json.load(open("out"))["weights_sha256"])')
"$PYTHON" -c 'import json; json.dump(json.load(open("out"))["genotype"], open("g.json", "w"))'
expect_json "d['weights_sha256'] == '$sha256'" \
    train set.nsd --genotype g.json --epochs 8 --threads 1 -o m2.nsm --seed 1 --json
cp out trial.json # an object with a member "genotype", as an element of trials --json
expect 0 '^validation accuracy' train set.nsd --genotype trial.json --epochs 1 --threads 1 -o m3.nsm

# Trying out: nothing is written; the recipe is changed; test images are read when asked for.
expect_json 'd["recipe"]["average"] == "ema" and d["recipe"]["batch_size"] == 64
    and d["recipe"]["weight_decay"] == 0.005 and d["test_accuracy"] >= 0.5 and d["train_ms"] > 0
    and d["recoveries"] == 0 and d["recovery_reason"] is None and d["checkpoint_failures"] == 0
    and d["checkpoint_error"] is None and "model" not in d' \
    train set.nsd --genotype "$(cat g.json)" --epochs 2 --threads 1 --test --json \
    --recipe average=ema,average_window=0.2,batch_size=64,clip_deviations=6
expect_json 'd["test_accuracy"] is None' train set.nsd -g anchor -e 1 --threads 1 --json
expect 0 '^test accuracy' train set.nsd -g anchor -e 1 --threads 1 --test -r schedule=cosine
expect 2 'no "rate", but .*rate_peak' train set.nsd -g anchor -e 1 -r rate=0.1
expect 2 'batch_size cannot be "0"' train set.nsd -g anchor -e 1 -r batch_size=0
expect 2 '"mirror" is no FIELD=VALUE' train set.nsd -g anchor -e 1 -r mirror
expect 1 'from --genotype' train set.nsd -g '{"stem_width": 3}' -e 1

# A batch is lowered to what there is, which is said.
expect_json 'd["recipe"]["batch_size"] == 240' train set.nsd -g anchor -e 1 --threads 1 --json \
    --recipe batch_size=4096
grep -q 'a batch of 4096 is more' err || fail "lowered batch: \"$(cat err)\""

# A model that could not be written is not trained: so many epochs would take hours.
expect 1 '/nosuch/x.nsm' train set.nsd -g anchor -e 1000000 -o /nosuch/x.nsm
expect 1 'it is a folder' train set.nsd -g anchor -e 1000000 -o .

echo '{"stem_width": 3}' >wrong.json
expect 1 'wrong.json' train set.nsd --genotype wrong.json --epochs 1 --threads 1 -o w.nsm
echo '{' >broken.json
expect 1 'broken.json' train set.nsd --genotype broken.json --epochs 1 --threads 1 -o w.nsm
expect 1 'nosuch.json' train set.nsd --genotype nosuch.json --epochs 1 --threads 1 -o w.nsm
expect 1 'nosuch.nsd' train nosuch.nsd --genotype anchor --epochs 1 --threads 1 -o w.nsm
expect_absent 'w.nsm*'

# Stopped by Ctrl-C, then finished by the same command.
set -m # a background job that may be interrupted
"$PROGRAM" train set.nsd --genotype anchor --budget 4s -o s.nsm >out 2>err &
pid=$!
sleep 1.5
kill -INT $pid
wait $pid
CODE=$?
set +m
[ "$CODE" -eq 3 ] || fail "interrupted training: exit code $CODE, want 3: $(cat err)"
grep -q 'the same command goes on' err || fail "interrupted training: \"$(cat err)\""
[ -f s.nsm.ckpt ] || fail "interrupted training left no checkpoint"
expect_absent 's.nsm'
expect 0 '^model +s.nsm' train set.nsd --genotype anchor --budget 4s -o s.nsm
expect_absent 's.nsm.*'

# Judging
expect_json 'd["split"] == "test" and d["labels"] == ["lying1", "upright"] and d["count"] == 30
    and sum(map(sum, d["confusion"])) == 30 and len(d["per_label"]) == 2
    and d["accuracy"] == (d["confusion"][0][0] + d["confusion"][1][1]) / 30' \
    evaluate m.nsm set.nsd --json --confusion c.csv
[ "$(head -n 1 c.csv)" = '"true \ predicted","lying1","upright"' ] || fail "c.csv: $(cat c.csv)"
[ "$(wc -l <c.csv)" -eq 3 ] || fail "c.csv: $(cat c.csv)"
expect 0 '^accuracy .* of 240 train images' evaluate m.nsm set.nsd --split train
"$PROGRAM" import source -o wide.nsd --size 32x16 >/dev/null 2>&1 || fail "import"
expect 1 'cannot evaluate m.nsm on wide.nsd: .*16x16' evaluate m.nsm wide.nsd
expect 1 'nosuch.nsm' evaluate nosuch.nsm set.nsd

# Intervals hold the figures; a threshold decides for each label alone; every answer can be had.
expect_json 'd["intervals"]["accuracy"][0] <= d["accuracy"] <= d["intervals"]["accuracy"][1]
    and d["decided_by"] == "most likely label" and len(d["curves"]["threshold"]) == 101
    and all(0 <= l["threshold"] <= 1 and "f1" in l["at_threshold"] for l in d["per_label"])' \
    evaluate m.nsm set.nsd --json --predictions p.csv
[ "$(head -n 1 p.csv)" = 'image,file,split,true,predicted,"lying1","upright"' ] ||
    fail "p.csv: $(head -n 1 p.csv)"
"$PYTHON" - <<'PYTHON' || fail "p.csv and the accuracy differ"
import csv, json
rows = list(csv.DictReader(open("p.csv")))
right = sum(row["true"] == row["predicted"] for row in rows)
assert len(rows) == 30 and right / 30 == json.load(open("out"))["accuracy"], right
assert all(abs(float(row["lying1"]) + float(row["upright"]) - 1) < 1e-6 for row in rows)
assert all(row["file"].startswith(row["true"] + "/") for row in rows), rows[0]
PYTHON
expect_json 'd["threshold"] == 0 and d["accuracy"] == 0 and d["micro"]["recall"] == 1' \
    evaluate m.nsm set.nsd --json --threshold 0
expect 2 'threshold' evaluate m.nsm set.nsd --threshold 1.5

# Wrong labels are found among the surest mistakes, by file.
printf 'TEST,source/lying1/%d.png,upright\n' {0..9} >swapped.csv
printf 'TEST,source/upright/%d.png,lying1\n' {0..9} >>swapped.csv
printf 'TRAIN,source/lying1/%d.png,upright\n' {10..19} >>swapped.csv
printf 'TRAIN,source/upright/%d.png,lying1\n' {10..19} >>swapped.csv
"$PROGRAM" import swapped.csv -o swapped.nsd >/dev/null 2>&1 || fail "import of wrong labels"
expect_json 'len(d["surest_mistakes"]) == 10
    and all(m["file"].split("/")[1] == m["predicted"] != m["label"] for m in d["surest_mistakes"])
    and [m["confidence"] for m in d["surest_mistakes"]] ==
        sorted((m["confidence"] for m in d["surest_mistakes"]), reverse=True)' \
    evaluate m.nsm swapped.nsd --json
expect 0 '^  source/(lying1|upright)/[0-9].png: (lying1|upright) taken for [a-z1]+, [0-9.]+ %$' \
    evaluate m.nsm swapped.nsd

# Labelling: the one that cannot be read is named, the others are labelled.
expect_json 'len(d["predictions"]) == 2 and d["predictions"][0]["file"] == "source/lying1/0.png"
    and all(p["confidences"] == sorted(p["confidences"], reverse=True) and
            abs(sum(p["confidences"]) - 1) < 1e-5 and len(p["displayNames"]) == 2
            for p in d["predictions"])' \
    predict m.nsm source/lying1/0.png source/upright/0.png --json --min-confidence 0
expect_json 'len(d["predictions"][0]["displayNames"]) == 1' \
    predict m.nsm source/lying1/0.png --top 1 --json
expect_json 'all(c >= 0.5 for c in d["predictions"][0]["confidences"])' \
    predict m.nsm source/lying1/0.png --min-confidence 0.5 --json
expect_json 'd == {"predictions": [{"file": "source/lying1/0.png", "displayNames": [],
    "confidences": []}]}' predict m.nsm source/lying1/0.png --min-confidence 1 --json
expect 0 'no label fits' predict m.nsm source/lying1/0.png --min-confidence 1
expect_json '[sorted(l) for l in d["predictions"][0]["CustomLabels"]] == [["Confidence", "Name"]] * 2
    and abs(sum(l["Confidence"] for l in d["predictions"][0]["CustomLabels"]) - 100) < 1e-3' \
    predict m.nsm source/lying1/0.png --format rekognition --top 2
expect_json '[sorted(l) for l in d["predictions"][0]["predictions"]] == [["probability", "tagName"]]' \
    predict m.nsm source/lying1/0.png --format azure --top 1
expect 2 'none of google' predict m.nsm source/lying1/0.png --format baidu

# Folders, in the order of names, without what is no image; thresholds decide; batches do not matter.
echo text >source/notes.txt
expect_json 'len(d["predictions"]) == 300 and
    [p["file"] for p in d["predictions"]] == sorted(p["file"] for p in d["predictions"])' \
    predict m.nsm source --json
cp out folder.json
"$PROGRAM" predict m.nsm source/*/*.png --json >files.json || fail "predict of 300 files"
cmp -s folder.json files.json || fail "a folder and its files are labelled differently"
expect_json 'sum(p["displayNames"] == [p["file"].split("/")[1]] for p in d["predictions"]) > 200' \
    predict m.nsm source --json --top 1
echo text >text.png
run predict m.nsm text.png source/lying1/0.png nosuch.png --json
[ "$CODE" -eq 1 ] || fail "unreadable images: exit code $CODE, want 1"
check_json 'len(d["predictions"]) == 1' "predict of unreadable images"
grep -q 'text.png' err && grep -q 'nosuch.png' err || fail "unreadable images: \"$(cat err)\""

# Formats, and a model that is damaged.
expect 0 '^wrote m.onnx' export m.nsm --format onnx -o m.onnx
expect_json 'd == {"format": "nsm", "path": "copy.nsm"}' \
    export ./m.nsm --format nsm -o copy.nsm --json
cmp -s m.nsm copy.nsm || fail "an exported .nsm differs from the original"
expect 1 'cannot' export m.nsm --format onnx -o /nosuch/folder/m.onnx
cp m.nsm damaged.nsm
printf 'X' | dd of=damaged.nsm bs=1 seek=3000 conv=notrunc status=none
expect 1 'damaged.nsm' predict damaged.nsm source/lying1/0.png
head -c 1000 m.nsm >short.nsm
expect 1 'short.nsm' evaluate short.nsm set.nsd
expect 1 'short.nsm' export short.nsm --format onnx -o short.onnx
expect_absent 'short.onnx*'

finish

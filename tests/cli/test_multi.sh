# Images with several labels: from a manifest to a study's model.
source "$(dirname "$0")/harness.sh"

PYTHONDONTWRITEBYTECODE=1 "$PYTHON" "$HERE/make_multi.py" source 500
expect 0 'set.nsd: 500 images, 16x16 grey, 4 labels, several an image \(1\.[0-9]+ on average\)' \
    import source/set.csv -o set.nsd
expect_json 'd["multi_label"] and 1.4 < d["labels_per_image"] < 1.8 and len(d["labels"]) == 4
    and all(l["validation"] in range(12, 30) for l in d["labels"])' inspect set.nsd --json

# What a line may not say, and what it may.
(cat source/set.csv; echo 'TRAIN,0.png,a,,b') >source/gap.csv
expect 1 'line 501: a label is empty' import source/gap.csv -o gap.nsd
(cat source/set.csv; printf 'TRAIN,0.png'; printf ',l%d' {0..1024}) >source/many.csv
expect 1 'line 501: 1025 labels, more than the 1024' import source/many.csv -o many.nsd
expect_absent '*y.nsd*'
printf 'UNASSIGNED,%d.png,a\n' {0..9} >source/single.csv
printf 'UNASSIGNED,%d.png,b,b,\n' {10..19} >>source/single.csv
expect_json 'not d["multi_label"]' import source/single.csv -o single.nsd --json
expect_json 'd["multi_label"] and d["labels_per_image"] == 1' \
    import source/single.csv -o asked.nsd --multi-label --json
expect 2 'only CSV manifests' import source -o folder.nsd --multi-label

# One network.
expect_json 'd["score_name"] == "jaccard" and d["val_accuracy"] > 0.8 and d["test_accuracy"] > 0.8' \
    train set.nsd --genotype anchor --epochs 10 --threads 1 -o m.nsm --seed 1 --test --json
expect 0 '^validation jaccard +[0-9]' train set.nsd -g anchor -e 1 --threads 1 \
    --recipe mixup_alpha=0.2
expect_json 'd["several_labels"] and d["count"] > 40 and d["accuracy"] > 0.6
    and d["macro"]["average_precision"] > 0.9 and d["confusion"] is None
    and d["surest_mistakes"] is None' \
    evaluate m.nsm set.nsd --json
expect 0 'dark ground' predict m.nsm source/0.png
for i in {0..79}; do
    printf 'UNASSIGNED,%d.png,%s\n' $i "$(cut -d, -f$((i % 4 + 1)) <<<'dark ground,lying,slanted,upright')"
done >source/one.csv
"$PROGRAM" import source/one.csv -o one.nsd >/dev/null 2>&1 || fail "import of one label each"
expect 1 'the model tells any number of labels an image, but the images have one each' \
    evaluate m.nsm one.nsd
expect 0 '' export m.nsm --format onnx -o m.onnx
grep -q Sigmoid m.onnx || fail "no sigmoid in the exported model"

# A model that met no validation images has no thresholds: 0.5 decides.
expect 0 '500 images' import source/set.csv -o unjudged.nsd --split 90,0,10
expect 0 'nv.nsm' train unjudged.nsd -g anchor -e 10 --threads 1 --seed 1 -o nv.nsm
expect_json 'len(d["predictions"]) == 500 and all(c >= 0.5 for p in d["predictions"]
        for c in p["confidences"])
    and 0.5 < sum(len(p["confidences"]) for p in d["predictions"]) / 500 < 3
    and any(len(p["confidences"]) > 1 for p in d["predictions"])' predict nv.nsm source --json
expect_json 'len(d["predictions"][0]["confidences"]) == 4' \
    predict nv.nsm source/0.png --json --min-confidence 0
expect_json 'len(d["predictions"][0]["confidences"]) == 4' predict nv.nsm source/0.png --json --top 4
expect_json 'all(l["threshold"] is None for l in d["per_label"])' evaluate nv.nsm unjudged.nsd --json

# A study.
"$PROGRAM" search set.nsd --study several --budget 150gflop --threads 2 >out 2>err ||
    fail "search: $(cat err)"
expect 0 '^validation jaccard +[0-9]' status several
expect 0 '^test jaccard +[0-9]' status several
expect_json 'd["score_name"] == "jaccard" and d["test_accuracy"] > 0.6
    and d["test_macro_auc"] > 0.9' status several --json
expect 0 'val jaccard' trials several
expect_json 'all(t["score_name"] == "jaccard" for t in d["trials"]) and len(d["trials"]) > 0' \
    trials several --json
expect 0 'val jaccard +test jaccard' studies
expect 0 '^jaccard +[0-9.]+ % \([0-9.]+ to [0-9.]+\)' evaluate several/model.nsm set.nsd
expect 0 'dark ground' predict several/model.nsm source/0.png

# Two studies: their scores of the same test images are compared.
"$PROGRAM" search set.nsd --study fewer --budget 100gflop --threads 2 --seed 2 >out 2>err ||
    fail "search: $(cat err)"
expect_json 'd["pairs"][0]["mcnemar"] is None and d["pairs"][0]["reason"] is None
    and (lambda t, s: 0 <= t["p"] <= 1 and t["method"] in ("exact", "normal")
        and t["first_better"] + t["second_better"] <= s[0]["test_images"]
        and abs(t["difference"] - (s[0]["test_accuracy"] - s[1]["test_accuracy"])) < 1e-6)(
        d["pairs"][0]["randomisation"], d["studies"])' compare several fewer --json
expect 0 '^several against fewer: .* scores higher, .* randomisation test \((exact|normal)\): p = ' \
    compare several fewer
expect 0 '^validation jaccard +[0-9.]+ % +[0-9.]+ %' compare several fewer
expect 0 '^validation of the +(model|trial) +(model|trial)' compare several fewer
expect 0 '^best validation jaccard so far' compare several fewer --html both.html
grep -q 'best validation Jaccard index so far' both.html || fail "compare --html"
grep 'ccuracy' both.html | grep -qv '<td>Target</td>' && fail "compare --html speaks of accuracy"
"$PROGRAM" search one.nsd --study single --budget 100gflop --threads 2 >out 2>err ||
    fail "search: $(cat err)"
expect 0 'val score +test score' studies
expect 0 '^several .* jaccard [0-9.]+ %' studies
expect 0 '^single .* accuracy [0-9.]+ %' studies
expect 0 '^test score +jaccard [0-9.]+ % +accuracy [0-9.]+ %' compare several single
export_result() { # what an export has of the study's result
    "$PROGRAM" export "$1" --format json -o "$1.json" >/dev/null 2>&1
    "$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["result"][sys.argv[2]])' \
        "$1.json" "$2"
}
[ "$(export_result several test_scores | cut -d: -f1)" -ge 40 ] || fail "no scores are kept"

finish

# Disk: quotas for models, and gc, which removes what no study needs and nothing else.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 80
make_images source/upright 80
"$PROGRAM" import source -o set.nsd --size 8x8 >/dev/null 2>&1 || fail "import"

expect 2 'a number of models' search set.nsd --budget 100gflop --keep-checkpoints 1.5
expect 2 'a number of models' search set.nsd --budget 100gflop --keep-checkpoints 0
expect 2 'a number of models' search set.nsd --budget 100gflop --keep-checkpoints 5X

run search set.nsd --budget 160gflop --threads 2 --study whole --keep-checkpoints 1 --json
[ "$CODE" -eq 0 ] || fail "search: exit code $CODE, want 0: $(cat err)"
"$PROGRAM" trials whole --json >trials.json
ls whole >files.txt
"$PYTHON" -c '
import json, re
trials = json.load(open("trials.json"))["trials"]
found = [int(n) for n in re.findall(r"trial-(\d+)\.nsm", open("files.txt").read())]
searched = [n for n in found if trials[n]["purpose"] != "confirm"]
anchors = [n for n in searched if n == 0 or trials[n]["of_trial"] == 0]
other = [n for n in searched if n not in anchors]
best = max((t for t in trials if t["state"] == "COMPLETE"), key=lambda t: t["val_accuracy"])
accuracy = best["val_accuracy"]
assert len(other) <= 1 and len(anchors) == 1, ("beyond the quota", found, other, anchors)
assert any(trials[n]["val_accuracy"] == accuracy for n in found), ("the best is gone", found)
' || fail "quota: $(cat files.txt)"
expect 0 'COMPLETE' search set.nsd --study whole --keep-checkpoints 2G # no setting of a study

# Leftovers go, whatever else is in the folder stays.
for name in trial-999.nsm model.nsm.tmp trial-1.nsm.tmp retrain.ckpt; do
    printf '12345' >whole/$name
done
for name in trial-999.txt trial-0999.nsm notes.tmp retrain.ckpt.old; do
    printf '12345' >whole/$name
done
ln -s ../set.nsd whole/trial-998.nsm
ls whole >before.txt
expect_json 'd["dry_run"] and d["bytes"] >= 20 and d["studies"][0]["skipped"] is None
    and {f["file"].split("/")[-1] for f in d["studies"][0]["files"]} >=
        {"trial-999.nsm", "model.nsm.tmp", "trial-1.nsm.tmp", "retrain.ckpt"}' gc --dry-run --json
cp out plan.json
ls whole | cmp -s - before.txt || fail "a dry run changed something"
expect_json 'dict(d, dry_run=True) == json.load(open("plan.json")) and not d["dry_run"]' gc --json
for name in trial-999.nsm model.nsm.tmp trial-1.nsm.tmp retrain.ckpt; do
    expect_absent whole/$name
done
for name in trial-999.txt trial-0999.nsm notes.tmp retrain.ckpt.old trial-998.nsm model.nsm \
    model.onnx store study.log; do
    [ -e whole/$name ] || fail "gc removed $name"
done
expect 0 '^removed 0 files, 0 bytes' gc
expect 0 '^accuracy' evaluate whole/model.nsm set.nsd
expect_json 'all(t["model"] is None or __import__("os").path.exists(t["model"])
    for t in d["trials"])' trials whole --pareto --json

# A folder that another store has marked.
cp whole/store store.txt
printf '/nowhere/other.db' >whole/store
printf '12345' >whole/retrain.ckpt
expect_json 'd["studies"][0]["skipped"] == "its folder is another store'"'"'s" and d["bytes"] == 0' \
    gc --json
[ -e whole/retrain.ckpt ] || fail "gc removed another store's file"
cp store.txt whole/store

# A study that runs, and the same when it has been stopped.
set -m
"$PROGRAM" search set.nsd --study long --budget 1h >long.out 2>long.err &
pid=$!
for _ in $(seq 100); do
    [ -e long/study.log ] && break
    sleep 0.1
done
sleep 0.5
printf '12345' >long/trial-777.nsm
expect 0 '^study long is not touched: it is running' gc
[ -e long/trial-777.nsm ] || fail "gc touched a running study"
kill -INT $pid
wait $pid
set +m
expect 0 'trial-777.nsm' gc
expect_absent long/trial-777.nsm

expect 1 'nosuch.db' gc --store nosuch.db
finish

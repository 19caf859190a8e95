# Studies: searching, asking, stopping, and what is refused.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 60
make_images source/upright 60
"$PROGRAM" import source -o set.nsd >/dev/null 2>&1 || fail "import"

expect 1 'no study|no store|nightshift.db' status
expect 1 'nosuch.db' studies --store nosuch.db
expect 1 'nosuch.nsd' search nosuch.nsd --budget 30s
expect 1 'too small' search set.nsd --budget 1s --study tiny
echo 'not a store' >text.db
expect 1 'text.db' studies --store text.db
expect 1 'text.db' search set.nsd --budget 30s --store text.db

# A whole study.
start=$(date +%s%N)
run search set.nsd --budget 12s --study whole --price 3600 --json
took_ms=$((($(date +%s%N) - start) / 1000000))
[ "$CODE" -eq 0 ] || fail "search: exit code $CODE, want 0: $(cat err)"
[ "$took_ms" -le 12000 ] || fail "search with a budget of 12 s took $took_ms ms"
check_json 'd["study"] == "whole" and d["state"] == "COMPLETE" and d["phase"] == "done"
    and d["stop_reason"] in ("budget", "converged") and d["budget_node_ms"] == 12000
    and 0 < d["node_ms_used"] <= 12000 and abs(d["cost"] - d["node_ms_used"] / 1000) < 1e-6
    and 0 <= d["test_accuracy"] <= 1 and 0 <= d["best_val_accuracy"] <= 1
    and isinstance(d["winner"], dict) and len(d["weights_sha256"]) == 64
    and isinstance(d["trials"], dict) and d["model"].endswith("/whole/model.nsm")
    and d["search_end"] is None and not d["search_converged"]' search
cp out whole.json
grep -q 'no search: the budget has no room' err || fail "search: why there is no trial is not said"
expect 0 '^search +none: the budget has no room' status whole
expect 0 '^test accuracy' status whole
expect 0 '^next: nightshift predict' status
expect_json 'd == __import__("json").load(open("whole.json"))' status whole --json
expect_json 'd["state"] == "COMPLETE"' resume whole --json
expect 0 '^state +COMPLETE' search set.nsd --study whole
expect 0 '^trial +state +rung +repeats +val accuracy' trials whole
expect_json 'all(t["state"] in ("COMPLETE", "PRUNED", "FAIL") for t in d["trials"])' \
    trials whole --json
expect 0 '^whole +COMPLETE' studies
expect_json '[s["study"] for s in d["studies"]] == ["whole"]' studies --json
expect 0 '^wrote w.onnx' export whole --format onnx -o w.onnx
expect 0 '^accuracy' evaluate whole/model.nsm set.nsd

# Its report.
expect 0 '^wrote whole.html' report whole -o whole.html
expect_json 'd["plots"] >= 4' report whole --png plots --json
[ -s plots/threshold.png ] && [ -s plots/network.png ] || fail "report --png: $(ls plots)"
grep -q 'id="confusion"' whole.html || fail "report: no confusion matrix"
grep -qE 'https?://' <(sed 's,http://www.w3.org/2000/svg,,' whole.html) && fail "report: a link to the network"
expect 2 'without -o' report whole
expect 1 'nosuch' report nosuch -o x.html

# Targets, the front and comparisons.
expect_json 'd["target"] == "accuracy" and d["latency_ms"] > 0 and d["latency_ms_all_cores"] > 0
    and abs(d["mbytes"] * 1e6 - 4 * d["params"]) < 0.2 * 4 * d["params"]
    and 0 <= d["test_macro_auc"] <= 1 and d["test_images"] > 0' status whole --json
expect 0 '^latency .* ms an image' status whole
expect_json 'd["trials"] == []' trials whole --pareto --json
expect 1 'kept no model of trial 7' export whole --member 7 --format nsm -o x.nsm
expect 2 'with itself' compare whole whole
expect 1 'nosuch' compare whole nosuch
expect 2 'accuracy, balanced, latency or size' search set.nsd --study fast --budget 20s --target speed
expect 2 'smallest found has' search set.nsd --study fast --budget 20s --max-params 9
expect 2 'needs a budget of time' search set.nsd --study fast --budget 20tflop --max-latency-ms 3
expect 2 'max_params, target|target, max_params' search set.nsd --study whole --target size --max-params 50000

# Other settings and names are refused.
expect 2 'budget' search set.nsd --study whole --budget 20s
expect 2 'seed' search set.nsd --study whole --budget 12s --seed 5
expect 1 'nosuch' status nosuch
expect 1 'nosuch' trials nosuch
expect 1 'nosuch' resume nosuch
expect 1 'nosuch' export nosuch --format onnx -o x.onnx

# A running study: others may look, nobody else may run it, Ctrl-C stops it within 2 s.
set -m
"$PROGRAM" search set.nsd --study long --budget 1h >long.out 2>long.err &
pid=$!
for _ in $(seq 100); do
    "$PROGRAM" status long >out 2>err && break
    sleep 0.1
done
sleep 1
expect_json 'd["state"] == "RUNNING"' status long --json
expect 0 '^wrote long.html' report long -o long.html
grep -q 'has not finished' long.html || fail "report: no word that the study is not finished"
expect 1 'another process|in use' resume long
expect_json 'd["pairs"][0]["mcnemar"] is None and "not finished" in d["pairs"][0]["reason"]
    and [s["study"] for s in d["studies"]] == ["whole", "long"]
    and len(d["studies"][0]["best_so_far"]) == 1' compare whole long --json
expect 0 '^no test of whole against long: .*not finished' compare whole long --html both.html
grep -q 'What more of the budget bought' both.html || fail "compare --html"
expect 1 'no final model' export long --format onnx -o x.onnx
start=$(date +%s%N)
kill -INT $pid
wait $pid
CODE=$?
set +m
took_ms=$((($(date +%s%N) - start) / 1000000))
[ "$CODE" -eq 3 ] || fail "interrupted search: exit code $CODE, want 3: $(cat long.err)"
[ "$took_ms" -le 2000 ] || fail "interrupted search: took $took_ms ms to stop"
grep -q 'nightshift resume long' long.err || fail "interrupted search: \"$(cat long.err)\""
grep -w 'nan' long.err && fail "interrupted search: a figure that is none"
expect_json 'd["state"] == "INTERRUPTED" and d["trials"].get("RUNNING", 0) == 0' status --json

finish

# Budgets of compute: a study comes out the same again, killed or not, and says what it used.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 80
make_images source/upright 80
"$PROGRAM" import source -o set.nsd --size 8x8 >/dev/null 2>&1 || fail "import"

expect 2 '60tflop' search set.nsd --budget 60flop --study none
expect 2 'latency' search set.nsd --budget 60tflop --max-latency-ms 5 --study none
expect 1 'gflop.*too small|too small.*gflop' search set.nsd --budget 0.1gflop --study none

"$PYTHON" "$HERE/../../bench/repeat_compute.py" "$PROGRAM" set.nsd --budget 100gflop --threads 2 \
    >out 2>err || fail "repeat: $(cat err)"
check_json 'd["same"] and d["budget_flop"] == 1e11 and 0.85e11 < d["flop_used"] <= 1e11
    and d["trials"]["COMPLETE"] >= 3 and d["interruptions"] >= 1' repeat

study=$(basename "$(echo repeat_1_*/)")
expect 0 '^compute +.* of 100 gflop' status "$study"
expect 0 '^node time +[0-9]+' status "$study"
expect 0 "^$study +COMPLETE .* 100 gflop" studies
expect_json 'd["budget_node_ms"] is None and d["budget_flop"] == 1e11 and d["threads"] == 2
    and d["workers"] == 1 and d["node_ms_used"] > 0 and d["cost"] > 0' status "$study" --json
expect_json 'all(t["fidelity_unit"] == "training FLOPs" for t in d["trials"])' trials "$study" --json
expect 2 'budget of compute' search set.nsd --study "$study" --budget 10m
expect 2 'budget_flop' search set.nsd --study "$study" --budget 2tflop
expect 2 'threads' search set.nsd --study "$study" --threads 1

# Begun with what that study found: the same again, too, and from what was found alone.
"$PYTHON" "$HERE/../../bench/repeat_compute.py" "$PROGRAM" set.nsd --budget 100gflop --threads 2 \
    --seed 2 --warm-start "$study" >out 2>err || fail "repeat, warm: $(cat err)"
check_json 'd["same"] and d["interruptions"] >= 1' 'repeat, warm'
warm=$(basename "$(ls -td repeat_1_*/ | head -n 1)")
expect 0 "^began with +[0-9]+ points of $study, of the same data set" status "$warm"
expect_json 'd["warm_start"]["points"] >= 2 and d["warm_start"]["same_data"]' status "$warm" --json
expect 2 'warm_start' search set.nsd --study "$warm" --warm-start other
expect 2 'learns' search set.nsd --budget 1tflop --study cold --warm-start "$study" --sampler random
expect 1 "cannot start from study 'nosuch'.*no study" search set.nsd --budget 1tflop --study cold \
    --warm-start nosuch
expect 1 "cannot start from study 'nosuch.db:x'" search set.nsd --budget 1tflop --study cold \
    --warm-start nosuch.db:x
echo '{"genes":{"stage1_width":[112]}}' >space.json
expect 2 'another space: .*stage1_width' search set.nsd --budget 1tflop --study cold \
    --space space.json --warm-start "nightshift.db:$study"
expect 1 'cold' status cold

# Why the search ended: that one used its share, or was expected to find no more; a space of one point
# is exhausted.
expect_json 'd["search_end"] in ("budget", "converged")
    and d["search_converged"] == (d["search_end"] == "converged")' status "$study" --json
expect 0 '^search ended +(with its share of the budget|early: more trials)' status "$study"
"$PROGRAM" space set.nsd --json >out && "$PYTHON" -c '
import json
anchor = json.load(open("out"))["space"]["anchor"]
json.dump({"name": "lone", "genes": {gene: [choice] for gene, choice in anchor.items()}},
          open("lone.json", "w"))'
"$PROGRAM" search set.nsd --study lone --space lone.json --budget 40gflop --threads 2 >out 2>err ||
    fail "search of one point: $(cat err)"
expect_json 'd["search_end"] == "exhausted" and d["space"] == "lone" and not d["search_converged"]
    and d["trials"]["COMPLETE"] == 1' status lone --json
expect 0 '^search ended +early: nothing new was left to try' status lone

finish

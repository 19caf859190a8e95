# Benchmarks: their options and the keys of their JSON; how fast anything is, no test asks.
source "$(dirname "$0")/harness.sh"

expect 2 'without train\|ops\|infer\|predict' bench
expect 2 'cannot bench "speed": train, ops, infer, predict or search' bench speed
for kind in train ops infer predict; do
    expect 0 "^Usage: nightshift bench $kind" bench $kind --help
done
expect 2 'cannot use --net "vgg": r9 or anchor' bench train --net vgg
expect 2 'cannot use --width "0"' bench train --width 0
expect 2 'cannot use --seconds "-1"' bench train --seconds -1
expect 2 'cannot use --op "pooling"' bench ops --op pooling
expect 2 'cannot use --dtype "int8"' bench train --dtype int8
expect 1 'stem_width' bench train --genotype '{"stem_width": 3}'
expect 1 'nosuch.nsm' bench infer nosuch.nsm

SHORT="--threads 1 --batch 4 --seconds 0.01"

# A step: the parts add up, and the roof is of the net's convolutions. R9 has eight convolutions of
# five shapes; backward-data is not for the first.
expect_json 'd["net"] == "r9" and d["width"] == 4 and d["dtype"] == "f32" and d["batch"] == 4
    and d["threads"] == 1 and d["repetitions"] >= 2 and d["images_per_s"] > 0
    and d["images_per_s_best"] >= d["images_per_s"] and d["conv_roof_images_per_s"] > 0
    and abs(d["conv_roof_ms"] - sum(c["count"] * c["ms"] for c in d["convs"])) < 1e-6
    and abs(d["fraction_of_roof"] - d["conv_roof_ms"] / d["step_ms"]) < 1e-6
    and {c["pass"] for c in d["convs"]} == {"forward", "backward_weights", "backward_data"}
    and sum(c["count"] for c in d["convs"]) == 8 + 8 + 7
    and d["ms"]["conv forward"] > 0 and "optimiser update" in d["ms"]
    and abs(sum(d["ms"].values()) - d["conv_ms"] - d["other_ms"]) < 1e-6
    and abs(sum(o["ms"] for o in d["ops"]) - sum(k["ms"] for k in d["kinds"])) < 1e-6
    and all(o["bytes"] >= 0 and o["gb_per_s"] >= 0 and o["of_memory_bandwidth"] >= 0
            for o in d["ops"])
    and d["roofs"]["memory_gb_per_s"] > 0 and d["isa"] and d["library"]' \
    bench train --width 4 --dtype f32 $SHORT --json
expect 0 '^[0-9.]+ images/s .best' bench train --width 4 --dtype f32 $SHORT
expect 0 '^batch_norm +forward +[0-9]' bench train --width 4 --dtype f32 $SHORT --each
expect_json 'd["net"] == "anchor" and d["params"] > 1000' \
    bench train --net anchor --dtype f32 $SHORT --json

# A search space of a file
echo '{"genes": {"stage1_width": [16], "activation": ["silu"]}}' >small.json
echo '{"genes": {"stage1_width": [17]}}' >bad_space.json
PARAMS=$("$PYTHON" -c 'import json; print(json.load(open("out"))["params"])') # the default anchor's
expect_json "d['net'] == 'anchor' and d['space_file'] == 'small.json' and 1000 < d['params'] < $PARAMS" \
    bench train --space small.json --dtype f32 $SHORT --json
expect 1 'cannot use the space bad_space.json: genes: stage1_width cannot be 17' \
    bench train --space bad_space.json
expect 1 'cannot use the space bad_space.json' bench predict --space bad_space.json
expect 1 'nosuch.json: No such file' bench predict --space nosuch.json
expect 2 'cannot use --space "small.json" with --net r9' bench train --net r9 --space small.json
expect_json 'd["space_file"] == "small.json" and len(d["genotypes"]) == 3
    and {g["genotype"]["stage1_width"] for g in d["genotypes"]} == {16}
    and {g["genotype"]["activation"] for g in d["genotypes"]} == {"silu"}' \
    bench predict --space small.json --genotypes 3 --size 6 --seconds 0.01 --calibration 0.05 \
    --threads 1 --json
expect_json "d['net'] == 'genotype' and d['params'] > $PARAMS" \
    bench train --space small.json --genotype '{"stage1_width": 80}' --dtype f32 $SHORT --json

# Ops
expect_json 'd["peak_gflop_per_s"]["f32"] > 0 and d["roofs"]["l2_gb_per_s"] > 0
    and {o["pass"] for o in d["ops"]} >= {"forward"} and len(d["ops"]) >= 8
    and all(o["op"] == "batch norm" and o["ms"] > 0 and o["gb_per_s"] > 0
            and o["fraction_of_roof"] > 0 for o in d["ops"])' \
    bench ops --op 'batch norm' --dtype f32 $SHORT --json
expect 0 '^max pool 2x2 +f32 +64x28x28 +forward' bench ops --op 'max pool 2x2' --dtype f32 $SHORT

for op in 'batch norm + ReLU + max pool' 'batch norm + ReLU + add' 'first conv 3x3 + batch norm'; do
    expect 0 'f32 +64x28x28 +forward' bench ops --op "$op" --dtype f32 $SHORT
done

# Inference, of random weights and of a file
expect_json 'd["latency_ms"] >= d["latency_ms_best"] > 0 and d["dtype"] == "f32" and d["batch"] == 4
    and abs(d["images_per_s"] - 4000 / d["latency_ms"]) < 1e-3' \
    bench infer --width 4 $SHORT --json --save r.nsm
expect 0 '^[0-9.]+ ms a batch of 4' bench infer r.nsm $SHORT
expect 0 '^wrote r.onnx' export r.nsm --format onnx -o r.onnx

# Prediction: two networks, judged after next to no calibration.
expect_json 'len(d["genotypes"]) == 2 and d["threads"] == 1 and d["calibration_networks"] >= 0
    and all(g["measured_step_ms"] > 0 and g["predicted_step_ms"] > 0 and g["measured_mb"] > 0
            and g["predicted_mb"] > 0 and g["batch"] > 0 and len(g["genotype"]) > 10
            for g in d["genotypes"])
    and 0 <= d["memory_error"]["median"] <= d["memory_error"]["worst"]
    and 0 <= d["step_time_error"]["median"] <= d["step_time_error"]["worst"]' \
    bench predict --genotypes 2 --size 6 --seconds 0.01 --calibration 0.05 --threads 1 --json
expect 0 '^step time: median error' bench predict --genotypes 1 --size 6 --channels 3 \
    --seconds 0.01 --calibration 0.05 --threads 1

# Search: a table of 2 x 1 x 3 points of which one is missing, and tables that are none
cat >table.json <<'EOF'
{"001": {"test_acc": [90, 91], "mean_acc": 90.5, "flops": 3}, "101": {"test_acc": [80], "mean_acc": 81, "flops": 2},
 "003": {"test_acc": [70, 70], "mean_acc": 70, "flops": 9}, "103": {"test_acc": [91], "mean_acc": 89, "flops": 4},
 "007": {"test_acc": [50], "mean_acc": 50, "flops": 1}}
EOF
for sampler in surrogate tpe evolution reinforce random flops; do
    expect_json 'd["mean"] == 89 and d["sd"] == 0 and d["optimum"] == 90.5 and d["points"] == 5
        and d["mean_acc"] == [89, 89, 89]' \
        bench search --table table.json --sampler $sampler --evaluations 50 --seeds 3 --json
done
expect 0 '^surrogate, 1 evaluations: [0-9.]+ [+]- [0-9.]+ over 60 seeds, optimum 90.500' \
    bench search --table table.json --evaluations 1
expect 2 'without --table' bench search
expect 2 'no sampler has this name' bench search --table table.json --sampler best
for bad in '[]' '{}' '7' '{"00": 1, "1": 2}' '{"0a": {"test_acc": [1], "mean_acc": 1}}' \
    '{"00": {"test_acc": [], "mean_acc": 1}}' '{"00": {"test_acc": [1]}}' '{"00"' \
    '{"0": {"test_acc": [1], "mean_acc": 1}, "0": {"test_acc": [1], "mean_acc": 1}}'; do
    echo "$bad" >bad.json
    expect 1 '^nightshift: cannot search the table bad.json: ' bench search --table bad.json
done

finish

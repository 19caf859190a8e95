# A study as one JSON file, and its trials trained again from it, to the same weights.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 80
make_images source/upright 80
"$PROGRAM" import source -o set.nsd --size 8x8 >/dev/null 2>&1 || fail "import"
"$PROGRAM" import source -o other.nsd --size 9x9 >/dev/null 2>&1 || fail "import"
run search set.nsd --budget 160gflop --threads 2 --seed 3 --study whole --json
[ "$CODE" -eq 0 ] || fail "search: exit code $CODE, want 0: $(cat err)"

# Everything is in it.
expect 0 '^wrote whole.json' export whole --format json -o whole.json
"$PROGRAM" inspect set.nsd --json >inspect.json 2>/dev/null
"$PROGRAM" trials whole --json >trials.json
cp whole.json out
check_json 'd["format"] == "nightshift study" and d["study"] == "whole" and d["state"] == "COMPLETE"
    and d["command"].startswith("nightshift search set.nsd --budget 160gflop")
    and d["settings"]["seed"] == 3 and "genes" in d["settings"]["space"]
    and d["dataset"]["sha256"] == json.load(open("inspect.json"))["sha256"]
    and d["trial_setup"]["threads"] == 2 and d["runs"][0]["state"] == "DONE"
    and "threads" in d["runs"][0]["platform"] and len(d["result"]["weights_sha256"]) == 64
    and "plan" in d["result"]' export
check_json 'len(d["trials"]) >= 3 and all(
    {k: v for k, v in t.items() if k != "recipe"} ==
        {k: v for k, v in s.items() if k not in ("objective", "score_name")}
    for t, s in zip(d["trials"], json.load(open("trials.json"))["trials"]))' 'export, trials'

# Models that were kept have the weights that training again gives.
kept=0
for model in whole/trial-*.nsm; do
    number=${model##*-}
    number=${number%.nsm}
    expect_json 'len(d["weights_sha256"]) == 64' \
        train set.nsd --genotype whole.json --trial "$number" --json
    "$PYTHON" -c '
import hashlib, json, struct, sys
model = open(sys.argv[1], "rb").read()
json_bytes, count = struct.unpack("<QQ", model[16:32]) # nn/sealed_file.c has the layout
want = hashlib.sha256(model[32 + json_bytes:32 + json_bytes + 4 * count]).hexdigest()
sys.exit(json.load(open("out"))["weights_sha256"] != want)
' "$model" || fail "trial $number: other weights than $model: $(cat out)"
    kept=$((kept + 1))
done
[ "$kept" -ge 1 ] || fail "no trial's model was kept"
expect_json 'd["seed"] == 5 and d["samples"] > 0' \
    train set.nsd --genotype whole.json --trial 1 --seed 5 --epochs 1 --json

# What does not fit.
expect 1 'of other data' train other.nsd --genotype whole.json --trial 0
expect 1 'no trial 999' train set.nsd --genotype whole.json --trial 999
expect 1 'name one of its trials with --trial' train set.nsd --genotype whole.json --epochs 1
expect 1 'no study' train set.nsd --genotype trials.json --trial 0
head -c 4000 whole.json >cut.json
expect 1 'cut.json' train set.nsd --genotype cut.json --trial 0
sed 's/"stem_width":[0-9]*/"stem_width":7/' whole.json >odd.json
expect 1 'stem_width' train set.nsd --genotype odd.json --trial 0
expect 2 'whole studies' export whole/model.nsm --format json -o x.json
expect 1 'nosuch' export nosuch --format json -o x.json
expect_absent 'x.json*'

finish

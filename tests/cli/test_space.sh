# Spaces: what is shown of one, a file that is used, files that are refused, genotypes by hand.
source "$(dirname "$0")/harness.sh"

expect 0 '^default: .* points for 32x32 images of colour' space
expect 0 '^stage1_width +log +16, \[32\], 48' space
expect_json 'd["point_count"] > 1e12 and d["space"]["genes"]["stage1_kernel"] == [3, 5]' space --json
run space --json
cp out default.json
expect_json 'd["space"] == json.load(open("default.json"))["space"]' space --space default.json --json

echo '{"name":"small","genes":{"stage1_width":[16,80],"mirror":[0]}}' >small.json
expect 0 '^small: ' space --space small.json
expect_json 'd["space"]["genes"]["stage1_width"] == [16, 80]
    and d["space"]["anchor"]["mirror"] == 0' space --space small.json --json

refuse() { # SPACE REASON
    echo "$1" >bad.json
    expect 1 "cannot use the space bad.json: $2" space --space bad.json
    expect 1 "cannot use the space bad.json: $2" search demo --budget 10s --study bad --space bad.json
    [ ! -e bad ] || fail "a study was begun in a bad space"
}
refuse '{"genes":{"stage1_width":[40]}}' \
    'genes: stage1_width cannot be 40: 16 to 2048 in steps of 16 is legal'
refuse '{"genes":{"stage1_width":[]}}' 'genes: stage1_width has no choice'
refuse '{"genes":{"stage1_widht":[16]}}' 'genes: unknown gene "stage1_widht"'
refuse '{"gene":{}}' 'unknown key "gene"'
refuse '{' '' # the sentence names the byte
expect 1 'nosuch.json: No such file' space --space nosuch.json
expect 1 'nosuch.nsd: No such file' space nosuch.nsd

# Labels of which one has four times the images of the other.
make_images source/lying1 60
make_images source/upright 15
"$PROGRAM" import source -o uneven.nsd --size 8x8 >/dev/null 2>&1 || fail "import"
expect_json '"balance" not in d["space"]["genes"]' space --json
expect_json 'd["space"]["genes"]["balance"] == ["none", "root", "effective", "sampling"]
    and d["space"]["anchor"]["balance"] == "none"' space uneven.nsd --json
for balance in root effective sampling; do
    expect_json "d['genotype']['balance'] == d['recipe']['balance'] == '$balance'
        and d['loss'] > 0" train uneven.nsd --epochs 2 --json \
        --genotype "{\"balance\": \"$balance\", \"mixup_alpha\": 0.2, \"average\": \"ema\"}"
done

# Images of more than 40 pixels may be trained smaller; the model takes those of the set all the same.
"$PROGRAM" import source -o large.nsd --size 48x48 >/dev/null 2>&1 || fail "import"
expect_json '"input_percent" not in d["space"]["genes"]' space uneven.nsd --json
expect_json 'd["space"]["genes"]["input_percent"] == [50, 75, 100]
    and d["space"]["anchor"]["input_percent"] == 100' space large.nsd --json
expect_json "d['genotype']['input_percent'] == 50 and d['recipe']['cutout_px'] == 7" \
    train large.nsd --epochs 2 --json -o half.nsm --genotype '{"input_percent": 50}'
expect_json 'd["count"] > 0' evaluate half.nsm large.nsd --json
expect 0 'upright|lying1' predict half.nsm --top 1 source/upright/0.png
expect 0 'wrote half.onnx' export ./half.nsm --format onnx -o half.onnx
expect 1 '48x48.*8x8' evaluate half.nsm uneven.nsd

finish

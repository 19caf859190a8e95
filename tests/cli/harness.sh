# What every script here sources: running the program and comparing what it said.
#
#   usage: bash test_NAME.sh /path/to/nightshift /path/to/python3   (in an empty or own folder)
#
# A failed comparison prints both values and the script goes on; `finish` makes the exit code.

set -u
PROGRAM=$1
PYTHON=$2
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FAILURES=0
export OMP_WAIT_POLICY=passive # threads that wait leave the cores to other tests

find . -mindepth 1 -delete # what an earlier run left in this test's own folder

fail() {
    FAILURES=$((FAILURES + 1))
    printf 'FAILED: %s\n' "$1"
}

finish() {
    [ "$FAILURES" -eq 0 ] && echo "all good" && exit 0
    echo "$FAILURES failed"
    exit 1
}

# run WORD...: the program's exit code in CODE, its output in ./out and ./err
run() {
    "$PROGRAM" "$@" >out 2>err
    CODE=$?
}

# expect CODE REGEX WORD...: exit code, and a line of stdout (CODE 0) or stderr that matches. A
# failure must leave stdout empty and begin "nightshift".
expect() {
    local code=$1 regex=$2 stream=err
    shift 2
    run "$@"
    [ "$code" -eq 0 ] && stream=out
    [ "$CODE" -eq "$code" ] || fail "nightshift $*: exit code $CODE, want $code: $(cat err)"
    grep -qE -- "$regex" $stream ||
        fail "nightshift $*: std$stream is \"$(cat $stream)\", want a match of \"$regex\""
    if [ "$code" -ne 0 ]; then
        [ -s out ] && fail "nightshift $*: failed, but printed \"$(head -c 200 out)\""
        head -n 1 err | grep -q '^nightshift' || fail "nightshift $*: stderr is \"$(cat err)\""
    fi
}

# expect_json CONDITION WORD...: exit code 0 and one JSON object `d` on stdout that satisfies the
# Python condition.
expect_json() {
    local condition=$1
    shift
    run "$@"
    [ "$CODE" -eq 0 ] || fail "nightshift $*: exit code $CODE, want 0: $(cat err)"
    check_json "$condition" "$*"
}

# check_json CONDITION NAME: the same for ./out
check_json() {
    "$PYTHON" -c '
import json, sys
d = json.load(open("out"))
assert isinstance(d, dict), "not an object"
if not eval("(" + sys.argv[1] + ")"):
    sys.exit("not so: " + sys.argv[1] + "\n" + json.dumps(d)[:2000])
' "$1" || fail "nightshift $2: JSON"
}

# expect_absent PATTERN: no such file was left behind
expect_absent() {
    compgen -G "$1" >/dev/null && fail "left behind: $(compgen -G "$1")"
    return 0
}

# make_images FOLDER COUNT: grey 16x16 PNGs whose brightness depends on the folder's name
make_images() {
    "$PYTHON" "$HERE/make_images.py" "$@"
}

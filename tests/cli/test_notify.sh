# What happens when a study ends: --on-finish.
source "$(dirname "$0")/harness.sh"

make_images source/lying1 60
make_images source/upright 60
"$PROGRAM" import source -o set.nsd --size 8x8 >/dev/null 2>&1 || fail "import"

# What the command is told, and that its output is no part of the result.
tell='cat >told.json; env | grep ^NIGHTSHIFT_ >told.env; echo told >>told.count; echo noise
    ls -l /proc/self/fd >told.fd'
search=(search set.nsd --budget 100gflop --price 3600 --json)
run "${search[@]}" --study whole --on-finish "$tell"
[ "$CODE" -eq 0 ] || fail "search: exit code $CODE, want 0: $(cat err)"
check_json 'd["state"] == "COMPLETE" and d == __import__("json").load(open("told.json"))' on-finish
grep -q '^noise' err || fail "output of the command: \"$(cat err)\""
for line in NIGHTSHIFT_STUDY=whole NIGHTSHIFT_STATE=COMPLETE 'NIGHTSHIFT_STOP_REASON=[a-z]+' \
    'NIGHTSHIFT_TEST_ACCURACY=[01]\.[0-9]{6}' 'NIGHTSHIFT_NODE_HOURS=0\.[0-9]{6}' \
    'NIGHTSHIFT_MONEY=[0-9]+\.[0-9]{2}' 'NIGHTSHIFT_MODEL=/.*/whole/model.nsm' \
    'NIGHTSHIFT_STORE=/.*/nightshift.db' NIGHTSHIFT_ERROR=; do
    grep -qxE "$line" told.env || fail "environment lacks $line: $(cat told.env)"
done
grep -qE 'nightshift.db|/lock|study.log' told.fd && fail "inherited: $(cat told.fd)"

# Once an end: not for a study that is only shown, nor where nothing began.
expect 0 'COMPLETE' resume whole --json --on-finish "$tell"
expect 2 'seed' "${search[@]}" --study whole --seed 5 --on-finish "$tell"
expect 1 'nosuch.nsd' search nosuch.nsd --budget 30s --on-finish "$tell"
[ "$(wc -l <told.count)" -eq 1 ] || fail "told $(wc -l <told.count) times, want once"

# A stopped run tells too, and so does the one that goes on; a failing command changes nothing.
set -m
"$PROGRAM" search set.nsd --study long --budget 1h --on-finish "$tell" >long.out 2>long.err &
pid=$!
for _ in $(seq 100); do
    "$PROGRAM" status long >out 2>err && break
    sleep 0.1
done
sleep 0.5
kill -INT $pid
wait $pid
CODE=$?
set +m
[ "$CODE" -eq 3 ] || fail "interrupted search: exit code $CODE, want 3: $(cat long.err)"
grep -q '^NIGHTSHIFT_STATE=INTERRUPTED$' told.env || fail "interrupted: $(cat told.env)"
grep -q '^NIGHTSHIFT_MODEL=$' told.env || fail "interrupted: $(cat told.env)"
[ "$(wc -l <told.count)" -eq 2 ] || fail "told $(wc -l <told.count) times, want twice"
run "${search[@]}" --study other --on-finish 'exit 7'
[ "$CODE" -eq 0 ] || fail "search with a failing command: exit code $CODE, want 0: $(cat err)"
grep -q 'warning: the command of --on-finish failed: it ended with exit status 7' err ||
    fail "failing command: \"$(cat err)\""

finish

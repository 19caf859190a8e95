# Words that are wrong: exit code 2 and one sentence that says which and why.
source "$(dirname "$0")/harness.sh"

COMMANDS="import inspect space search resume status trials studies compare train evaluate predict export bench"

expect 0 '^nightshift [0-9]+\.[0-9]+\.[0-9]+ \(oneDNN .*, [0-9]+ threads, .*f32' --version
expect 0 '^Usage: nightshift COMMAND' --help
for command in $COMMANDS; do
    grep -q "^  $command " out || fail "--help does not list $command"
done
for command in $COMMANDS; do
    expect 0 "^Usage: nightshift $command" "$command" --help
    expect 0 "^Usage: nightshift $command" "$command" --usage
    expect 2 "unrecognized option '--wrong'" "$command" --wrong
done

run
[ "$CODE" -eq 2 ] || fail "no command: exit code $CODE, want 2"
expect 2 'no such command; did you mean "search"' serch
expect 2 'no such command; did you mean "studies"' studeis
expect 2 'no such command; see nightshift --help' frobnicate
expect 2 'no such command' ''

expect 2 'without SOURCE' import
expect 2 'without MODEL SET.nsd' evaluate one.nsm
expect 2 'without MODEL IMAGE' predict one.nsm
expect 2 'cannot use "more": too many words' inspect one.nsd more
expect 2 'cannot use "more": too many words' studies more

expect 2 'cannot use --size "3y": a size in pixels' import x --size 3y
expect 2 'cannot use --size "0x5"' import x --size 0x5
expect 2 'cannot use --channels "2": 1 \(grey\) or 3' import x --channels 2
expect 2 'cannot use --split "80,10,20": percentages' import x --split 80,10,20
expect 2 'cannot use --format "zip".*folder, csv' import x --format zip
expect 2 'cannot use --max-bad "101": a number from 0 to 100' import x --max-bad 101
expect 2 'cannot use --max-bad "nan"' import x --max-bad nan
expect 2 'cannot use --seed "-1": a whole number' import x --seed -1
expect 2 'cannot use --seed "99999999999999999999": a whole number' import x \
    --seed 99999999999999999999
expect 2 'cannot use --budget "5x".*10m' search x.nsd --budget 5x
expect 2 'cannot use --budget "-5m"' search x.nsd --budget -5m
expect 2 'cannot use --sampler "best": one of these.*evolution' search x.nsd --sampler best
expect 2 'cannot use --threads "0": a whole number' search x.nsd --threads 0
expect 2 'cannot use --threads "2x"' search x.nsd --threads 2x
expect 2 'cannot use --price "-1"' search x.nsd --price -1
expect 2 'cannot use --study "": it must not be empty' search x.nsd --study ''
expect 2 'cannot name a study "a/b"' search x.nsd --budget 1m --study a/b
expect 2 'cannot name a study ".a"' search x.nsd --budget 1m --study .a
expect 2 'cannot begin study "x" without --budget' search x.nsd
expect 2 'without --genotype' train x.nsd --epochs 1
expect 2 'without --budget or --epochs' train x.nsd -o x.nsm --genotype anchor
expect 2 'cannot use --epochs "0"' train x.nsd -o x.nsm --genotype anchor --epochs 0
expect 2 'cannot use --split "exam"' evaluate x.nsm x.nsd --split exam
expect 2 'cannot use --min-confidence "2": a number from 0 to 1' predict x.nsm a.png \
    --min-confidence 2
expect 2 'cannot use --format "pdf": nsm, onnx or json' export x.nsm --format pdf
expect 2 'without --format' export x.nsm -o y
expect 2 'without -o PATH' export x.nsm --format onnx

# A result that cannot be written is a failure.
"$PROGRAM" --help >/dev/full 2>err
CODE=$?
[ "$CODE" -eq 1 ] || fail "--help on a full disk: exit code $CODE, want 1"
grep -q 'cannot write the result: No space left' err || fail "full disk: \"$(cat err)\""

finish

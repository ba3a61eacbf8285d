#!/bin/bash
# run.sh HARNESS [bench.py options]: compares this checkout with Postfix at its best in the relay benchmark.
# HARNESS is the folder of the benchmark (its README says what it measures); it is copied, never changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
harness=${1:?usage: run.sh HARNESS [bench.py options]}
shift
work=${COMPARE_WORK:-/var/tmp/waxseal-compare}
mkdir -p "$work"
cp -r "$harness/." "$work/"
chmod -R u+w "$work"
cp "$here/waxseal.sh" "$work/peers/waxseal.sh"
(cd "$top" && cargo build --release --locked --quiet)
export WAXSEAL="$top/target/release/waxseal"
[ -x "$work/sink/target/release/benchsink" ] || "$work/install.sh"
[ -f "$work/certs/server.pem" ] || sh "$work/certs/mkcerts.sh"
cd "$work"
# A relay that keeps its connections must not carry old ones into the cell with a round trip: that one runs alone.
python3 bench.py --peers waxseal,postfix-best,postfix-nocache --cells 4k-close,4k-keep,100k-keep,10m-keep --out raw.jsonl "$@"
python3 bench.py --peers waxseal,postfix-best,postfix-nocache --cells 4k-keep-rtt20 --latency 0 --out raw.jsonl "$@"
python3 report.py raw.jsonl > results.md
echo "results in $work/results.md"

#!/bin/bash
# The peer file of waxseal for the relay benchmark: STARTTLS and AUTH PLAIN upstream, the default queue.
case $1 in
info) echo "HOST=127.0.0.1"; echo "PORT=2577"; echo "DESC=waxseal, STARTTLS, PLAIN"; echo "SCALE=5"; echo "SCALE_CLOSE=5";;
version) "$WAXSEAL" --version ;;
start)
  cat > $WORK/waxseal.toml <<X
hostname = "bench.test"
state_dir = "$WORK/state"
[[listener]]
address = "127.0.0.1:2577"
[admin]
address = "off"
[account.bench]
type = "basic"
domain = "example.test"
address = "localhost"
port = $SINK_PORT
ca_file = "$CA"
username = "$BENCH_USER"
password = "$BENCH_PASS"
max_connections = ${CONNS:-20}
[log]
level = "${LEVEL:-info}"
X
  "$WAXSEAL" serve --config $WORK/waxseal.toml 2>$WORK/log &
  echo $! > $WORK/pid ;;
stop) kill $(cat $WORK/pid) ;;
esac

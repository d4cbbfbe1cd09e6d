# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of guests share. A script ends at the first thing that is not as it should be.
# shellcheck shell=sh
set -e
at_end() {
    result=$?
    [ $result -eq 0 ] || cat /agent.log
    exit $result
}
trap at_end EXIT
export NO_COLOR=1

said() { echo "== $*"; }

await() {
    tries=100
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "in vain: $*"; exit 1; }
        sleep 0.2
    done
}

# holds FILE PATTERN [HOW-MANY-LINES]
holds() {
    lines=$(grep -cE "$2" "$1") || true
    [ "$lines" -eq "${3:-$lines}" ] && [ "$lines" -gt 0 ] && return
    echo "$1 has $lines lines like \"$2\"${3:+, not $3}:"
    cat "$1"
    exit 1
}

holds_no() {
    if grep -E "$2" "$1"; then
        echo "is in $1"
        exit 1
    fi
}

# A veth takes redirected frames only if its peer polls, which generic receive offload makes it do.
wire() {
    ip link add "$1" type veth peer name eth0 netns "$2"
    ethtool -K "$1" tx off >/dev/null
    ip netns exec "$2" ethtool -K eth0 tx off gro on >/dev/null
    ip addr add "$3" dev "$1"
    ip -n "$2" addr add "$4" dev eth0
    ip link set "$1" up
    ip -n "$2" link set eth0 up
}

# The machine forwards, and beyond its wan0 there is 203.0.113.10 in the namespace outside.
make_gateway() {
    echo "kernel $(cat /proc/sys/kernel/osrelease)"
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip link set lo up
    ip netns add outside
    wire wan0 outside 198.51.100.1/24 198.51.100.254/24
    ip -n outside link set lo up
    ip -n outside addr add 203.0.113.10/32 dev lo
    ip route add default via 198.51.100.254
}

ready() { sallyport -o json status | grep -q '"ready": *true'; }

start_agent() {
    sallyportd --config /sallyport.yaml >>/agent.log 2>&1 &
    agent=$!
    await ready
}

stop_agent() {
    kill "$agent"
    wait "$agent"
}

kill_agent() { kill -9 "$agent"; }

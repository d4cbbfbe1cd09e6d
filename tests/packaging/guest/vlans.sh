# SPDX-License-Identifier: Apache-2.0
#
# Runs in a guest whose only system is a kernel: the machine is the gateway, and two VPCs with the same addresses come
# to it through one trunk, red with the tags 10 and 30, blue with 20. Each has an instance 10.0.1.11. The server
# outside knows no way to the inside, and tells everybody whom it saw. Then each VLAN device gets into a VRF.
# shellcheck shell=sh
. /lib.sh

# A namespace behind the trunk whose frames have a tag, and the gateway's device for them.
instance() {
    ip netns add "$1"
    ip -n "$1" link set lo up
    ip -n trunk link add link far0 name "far0.$2" address "02:00:00:00:00:$2" type vlan id "$2"
    ip -n trunk link set "far0.$2" netns "$1" name eth0
    ip -n "$1" addr add "$3.11/24" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add default via "$3.1"
    ip link add link lan0 name "lan0.$2" type vlan id "$2"
    ip addr add "$3.1/24" dev "lan0.$2"
    ip link set "lan0.$2" up
}

# serve NAMESPACE ADDRESS NAME
serve() {
    for protocol in tcp udp; do
        ip netns exec "$1" perl /peer.pl serve $protocol "$2" 7 "$3" >>"/tmp/$3.heard" 2>&1 &
    done
}

# begin NAME NAMESPACE PROTOCOL PORT ADDRESS PORT: a conversation that goes on until its end.
begin() {
    rm -f "/tmp/$1.in" "/tmp/$1.out"
    mkfifo "/tmp/$1.in"
    ip netns exec "$2" perl /peer.pl talk "$3" "$4" "$5" "$6" <"/tmp/$1.in" >"/tmp/$1.out" 2>&1 &
    sleep 10000 >"/tmp/$1.in" & # or the first line would be the last
    echo $! >"/tmp/$1.holder"
}

end() { kill "$(cat "/tmp/$1.holder")"; }

says() { echo "$2" >"/tmp/$1.in"; }

last_heard() { [ "$(tail -n 1 "/tmp/$1.out")" = "$2" ]; }

# hears NAME WORDS WHO-ANSWERS WHOM-THAT-ONE-SEES
hears() { await last_heard "$1" "$3 saw $4 say $2"; }

# once NAMESPACE PROTOCOL ADDRESS PORT WORDS WHO-ANSWERS WHOM-THAT-ONE-SEES
once() {
    begin once "$1" "$2" 0 "$3" "$4"
    says once "$5"
    hears once "$5" "$6" "$7"
    end once
}

dropped() {
    count=$(sallyport -o json status | tr -d ' \n' | sed -n "s/.*\"count\":\([0-9]*\),\"reason\":\"$1\".*/\1/p")
    echo "${count:-0}"
}

# The same endpoint of both VPCs speaks to the same server, one word after the other.
both_talk() {
    for protocol in tcp udp; do
        says red-$protocol "red $1"
        says blue-$protocol "blue $1"
    done
    for protocol in tcp udp; do
        hears red-$protocol "red $1" web 198.51.100.10
        hears blue-$protocol "blue $1" web 198.51.100.20
    done
}

new_flows() {
    for protocol in tcp udp; do
        once red $protocol 203.0.113.10 7 "$1 from red" web 198.51.100.10
        once blue $protocol 203.0.113.10 7 "$1 from blue" web 198.51.100.20
        once db $protocol 203.0.113.10 7 "$1 from db" web 198.51.100.30
        once outside $protocol 198.51.100.10 8080 "$1 to red" red 198.51.100.254
        once outside $protocol 198.51.100.20 8080 "$1 to blue" blue 198.51.100.254
        once outside $protocol 198.51.100.30 7 "$1 to db" db 198.51.100.254
        once blue $protocol 198.51.100.10 8080 "$1 blue to red" red 198.51.100.20
        once red $protocol 10.0.2.11 7 "$1 red to db" db 10.0.1.11
    done
    ip netns exec red ping -c 3 -W 5 203.0.113.10 >/tmp/red.ping &
    red=$!
    ip netns exec blue ping -c 3 -W 5 203.0.113.10 >/tmp/blue.ping
    wait $red
    for tenant in red blue; do
        holds /tmp/$tenant.ping "3 packets received, 0% packet loss"
    done
}

# In red's VPC there is 10.0.2.11; in blue's the prefix is, and nobody.
nothing_crosses() {
    before=$(dropped wrong_egress_device)
    ip netns exec blue ping -c 2 -W 1 10.0.2.11 >/tmp/stray.ping && { echo "blue reaches red's"; exit 1; }
    begin stray blue udp 0 10.0.2.11 7
    says stray stray
    sleep 3
    end stray
    [ "$(dropped wrong_egress_device)" -ge $((before + 3)) ] || { sallyport status; exit 1; }
    for tenant in red blue db; do
        holds /tmp/$tenant.heard "to $tenant$"
        holds /tmp/$tenant.heard "" "$(grep -c "to $tenant$" /tmp/$tenant.heard)" # and nothing else
    done
}

conversations() { sallyport flows --inside 10.0.1.11:40000 | sed 's/  *established.*//' | sort; }

# What is translated goes on without the agent, new flows as well, and the next agent changes nothing about it.
without_agent() {
    conversations >/tmp/before
    holds /tmp/before 10.0.1.11:40000 4
    stop_agent
    both_talk "$1 stopped"
    sleep 31 # after so long the programs ask the kernel for each packet
    both_talk "$1 long stopped"
    new_flows "$1 without agent"
    start_agent
    both_talk "$1 started"
    conversations >/tmp/after
    cmp /tmp/before /tmp/after || { cat /tmp/before /tmp/after; exit 1; }
    sallyport plan /sallyport.yaml
}

explained() {
    flow="tcp 10.0.1.11:40001 203.0.113.10:7"
    sallyport explain "$flow" >/explained 2>&1 && { cat /explained; exit 1; }
    holds /explained "name the one that is meant: blue, red"
    for tenant in "red lan0.10 198.51.100.10" "blue lan0.20 198.51.100.20"; do
        # shellcheck disable=SC2086
        set -- $tenant
        sallyport explain --vpc "$1" "$flow" >/explained
        holds /explained "^device +$2 +from inside, VPC $1$"
        holds /explained "^forward: $3 > 203.0.113.10:7$"
        sallyport explain "tcp 203.0.113.10:9 $3:8080" >/explained
        holds /explained "^next hop +$2 +10.0.1.11 itself, 02:00:00:00:00:${2#lan0.}$"
    done
}

# It is the trunk that merges what it receives, so that switch counts; none of them is needed for the tags.
examined() {
    sallyport doctor >/doctor || { cat /doctor; exit 1; }
    holds /doctor "^ok .* vlan_offload .lan0.[123]0.: VLAN of lan0$" 3
    holds_no /doctor "rxvlan|^error"
    ethtool -K lan0 gro on
    sallyport doctor >/doctor && { cat /doctor; exit 1; }
    holds /doctor "mend: ethtool -K lan0 gro off$" 3
    ethtool -K lan0 gro off
}

everything() {
    both_talk "$1"
    new_flows "$1"
    nothing_crosses
    explained
    examined
    said "$1: both VPCs have their own"
    without_agent "$1"
    said "$1: without the agent, too, and with the next one"
}

make_gateway
ip netns add trunk
ip link add lan0 type veth peer name far0 netns trunk
ethtool -K lan0 tx off >/dev/null
ip netns exec trunk ethtool -K far0 tx off >/dev/null
ip link set lan0 up
ip -n trunk link set far0 up
instance red 10 10.0.1
instance blue 20 10.0.1
instance db 30 10.0.2
serve outside 203.0.113.10 web
serve red 10.0.1.11 red
serve blue 10.0.1.11 blue
serve db 10.0.2.11 db

start_agent
sallyport status >/status
holds /status "^(lan0.[123]0|wan0) .* generic  +[0-9]" 4
holds /status "^lan0.[123]0 runs in generic mode: attach in native mode: Operation not supported$" 3
holds /status "^wan0 runs in generic mode: lan0.10 is in generic mode" 1
said "it is ready"
for protocol in tcp udp; do
    for tenant in red blue; do begin $tenant-$protocol $tenant $protocol 40000 203.0.113.10 7; done
done
everything "by tag"

# A program on the trunk would take the packets of all tags for its own.
sed 's/^  devices:$/&\n    - { device: lan0, role: inside, vpc: red }/' /sallyport.yaml >/trunk.yaml
sallyport apply /trunk.yaml && exit 1
sallyport status >/status
holds /status "^lan0 is not attached: lan0.10 is a VLAN of lan0"
ip link show lan0 >/link
holds_no /link xdp
both_talk "beside the trunk"
sallyport apply /sallyport.yaml
said "the trunk itself is not used"

# From now on the tags are in the frames, and not beside them.
ethtool -K lan0 rxvlan off txvlan off
ip netns exec trunk ethtool -K far0 rxvlan off txvlan off
for vrf in "red 10 10 30" "blue 20 20"; do
    # shellcheck disable=SC2086
    set -- $vrf
    ip link add "vrf-$1" type vrf table "$2"
    ip link set "vrf-$1" up
    ip route add default via 198.51.100.254 dev wan0 vrf "vrf-$1"
    name=$1
    shift 2
    for tag; do ip link set "lan0.$tag" master "vrf-$name"; done
done
everything "by VRF"

# A VPC that overlaps with no other is not where the host's own routes look, either.
sed '/blue/d' /sallyport.yaml >/alone.yaml
sallyport apply /alone.yaml
ip neigh flush all
once outside tcp 198.51.100.10 8080 "alone to red" red 198.51.100.254
once outside udp 198.51.100.30 7 "alone to db" db 198.51.100.254
once red tcp 203.0.113.10 7 "alone from red" web 198.51.100.10
once red udp 10.0.2.11 7 "alone red to db" db 10.0.1.11
said "a VPC alone in a VRF has its own, too"
sallyport detach
stop_agent

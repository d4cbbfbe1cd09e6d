# SPDX-License-Identifier: Apache-2.0
#
# Runs in a guest whose only system is a kernel: the machine is the gateway, two namespaces are an inside host
# and a server outside. The server knows no way to the inside, so an answer shows that packets are translated.
# shellcheck shell=sh
. /lib.sh

# Not by wget: the static busybox looks up names with modules that do not fit it, and crashes.
fetch() {
    printf 'GET /hello HTTP/1.0\r\n\r\n' | ip netns exec inside nc -w 10 203.0.113.10 80 | tail -n 1
}

make_gateway
ip netns add inside
wire lan0 inside 10.0.1.1/24 10.0.1.11/24
ip -n inside route add default via 10.0.1.1
mkdir -p /www
echo "hello from outside" >/www/hello
ip netns exec outside httpd -h /www -p 203.0.113.10:80

start_agent
said "it is ready"
sallyport status

ip netns exec inside ping -c 3 -W 5 203.0.113.10
[ "$(fetch)" = "hello from outside" ]
said "ping and HTTP go through"
sallyport flows
sallyport flows | grep -q 198.51.100.10

sallyport explain tcp 10.0.1.11:4000 203.0.113.10:80 >/explained
cat /explained
grep -q "^next hop *wan0 " /explained
ip route add prohibit 203.0.113.99
sallyport explain tcp 10.0.1.11:4000 203.0.113.99:80 | grep "the sender is told: icmp 3/13"
said "it is explained where packets would go"

kill_agent
[ "$(fetch)" = "hello from outside" ]
said "without its agent as well"

start_agent
[ "$(fetch)" = "hello from outside" ]
said "and with the next one, which adopts what is there"

# The emulator takes its time to verify the programs that capture: there is something to see all the while.
ip netns exec inside ping -c 200 -W 5 203.0.113.10 >/pings &
pings=$!
sallyport -o json capture --protocol icmp --count 4 --duration 150s >/packets 2>/capture.log ||
    { cat /capture.log; exit 1; }
kill $pings
grep -c '"point": *"received"' /packets
grep -q '"device": *"lan0"' /packets
grep -q '"point": *"sent"' /packets
said "packets are captured"

sallyport detach
ip link show lan0 | grep -q xdp && exit 1
said "detached"
stop_agent

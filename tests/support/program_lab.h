// SPDX-License-Identifier: Apache-2.0
//
// The real programs with maps of their own, run by BPF_PROG_RUN in a network namespace of their own:
//
//   instances 10.0.0.0/16 -- lan0 (slot 0, inside, zone 1) | wan0 (slot 1, outside) -- 198.51.100.0/24
//                            10.0.0.1                        198.51.100.1, default via .254
//
// The clock stands still unless the test moves it. Needs root.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/packet.h"

extern "C" {
#include "sallyport/abi/flow.h"
#include "sallyport/abi/maps.h"
#include "sallyport/abi/port_set.h"
}

struct bpf_object;

namespace sallyport::support {

enum class Role { inside, outside, both };
enum class Table { array, hash };
enum class Lane { express, stages };  // what an ordinary packet takes, and what every packet can take

struct LabOptions {
    Table table = Table::array;
    std::uint32_t flow_capacity = 65536;
    std::uint32_t port_sets = 64;
    bool stages_too = false;   // loads programs without the express lane as well
    bool make_network = true;  // a network namespace with lan0 and wan0; the calling thread stays in it
};

struct Outcome {
    int action = -1;          // XDP_PASS, XDP_DROP, XDP_REDIRECT, …
    std::string drop_reason;  // label, if one was counted
    Bytes frame;
    std::optional<Packet> packet;     // `frame` taken apart
    std::chrono::nanoseconds took{};  // by the program, as the kernel measured it
};

class ProgramLab {
  public:
    static constexpr std::uint8_t inside_slot = 0, outside_slot = 1;

    explicit ProgramLab(const LabOptions& options = {});
    ~ProgramLab();
    ProgramLab(const ProgramLab&) = delete;
    ProgramLab& operator=(const ProgramLab&) = delete;

    Outcome run(Role role, const Bytes& frame, Lane lane = Lane::express);
    Outcome run(Role role, const Packet& packet, Lane lane = Lane::express) {
        return run(role, packet.frame(), lane);
    }
    // As the agent gives back a fragment that it held: the program knows it by what stands before the frame.
    Outcome run_again(Role role, const Bytes& frame);

    // The same; gives the counters as they were before and after.
    Outcome run(Role role, const Bytes& frame, Lane lane, struct counters& before, struct counters& after);

    // What became of a frame, without a look at the counters: for very many.
    Bytes run_quickly(Role role, const Bytes& frame);

    // Runs `frame` `repeat` times and gives the kernel's mean, in nanoseconds.
    std::uint32_t time(Role role, const Bytes& frame, std::uint32_t repeat);

    // Configuration. The lab starts with NAT gateway 0, subnet 10.0.0.0/16 and a default route to it.
    void add_elastic_ip(const char* address, std::uint16_t nat_gateway = 0);
    void remove_elastic_ip(const char* address);  // from the map and from every NAT gateway
    void forget_elastic_ip(const char* address);  // one that belongs to no NAT gateway
    // An Elastic IP that `instance` of zone 1 has to itself, behind the internet gateway.
    void give_elastic_ip(const char* address, const char* instance,
                         const std::vector<std::uint16_t>& groups = {});
    static constexpr std::uint16_t internet_gateway = INTERNET_GATEWAY_FIRST;  // in use from the start
    void group_instance(const char* instance, const std::vector<std::uint16_t>& groups);  // without one
    void forget_instance(const char* instance);
    void change_security_group(std::uint16_t number, const struct security_group& value);
    // What the agent does for `drain`: it takes no new flows, and is in its NAT gateway's list no longer.
    void drain_elastic_ip(const char* elastic_ip, bool draining = true);
    void forward_ports(const char* elastic_ip, std::uint8_t protocol, PortRange ports, const char* to,
                       std::uint16_t to_port);  // to an instance of zone 1
    void forget_forwards(const char* elastic_ip, std::uint8_t protocol, PortRange ports);
    void change_nat_gateway(std::uint16_t number, const struct nat_gateway& value);
    struct nat_gateway nat_gateway(std::uint16_t number);
    void change_host_limits(std::uint16_t nat_gateway, const struct host_limits& value);
    void reserve_ports(std::uint16_t nat_gateway, const std::vector<PortRange>& ranges);  // and no others
    // Makes an Elastic IP the host's address as well, with the ports that are the host's; and ends that.
    void share_elastic_ip(const char* elastic_ip, const std::vector<PortRange>& ports = {});
    void unshare_elastic_ip(const char* elastic_ip);
    void set_unanswered_capacity(std::uint32_t flows);
    void add_subnet(std::uint16_t zone, const char* prefix);  // with the first one's route table
    void add_route(std::uint32_t route_table, const char* prefix, enum route_target target,
                   std::uint16_t index, const char* via = "0.0.0.0");
    void remove_route(std::uint32_t route_table, const char* prefix);
    // What the security groups have let through of what stays inside.
    std::size_t inner_flows();
    void forget_inner_flows();
    void add_subnet(std::uint32_t zone, const char* prefix, std::uint32_t route_table);
    void remove_subnet(std::uint32_t zone, const char* prefix);
    void add_local_address(const char* address);
    void remove_local_address(const char* address);
    void add_private_prefix(const char* prefix);
    void add_next_hop(const char* address, std::uint8_t slot, const std::array<std::uint8_t, 6>& mac,
                      enum next_hop_state state = NEXT_HOP_RESOLVED);
    void set_device(std::uint8_t slot, const struct device& value);
    struct device device(std::uint8_t slot);
    void bump_generation();
    void trust_next_hops(bool trust);

    // All that a test may change but the flows and the clock: what the agent would set, and what the programs
    // remember beside the flows. restore() brings it back as it was.
    using Memory = std::map<std::string, std::map<Bytes, Bytes>>;
    Memory save();
    void restore(const Memory& memory);

    // The flows' clock.
    void advance(std::chrono::milliseconds by);
    std::uint32_t ticks();
    void set_ticks(std::uint32_t ticks);  // to the middle of that one; then the clock goes on

    // No first fragment was seen, and the next identification of each counter is its first.
    void forget_datagrams();

    // Whether an agent is there that holds early fragments, and what it would have been told since the last
    // call.
    void hold_fragments(bool hold);
    struct Word {
        struct fragment_key datagram;
        std::uint8_t device;
        Bytes frame;  // empty: the datagram's first fragment has come
    };
    std::vector<Word> words_to_the_agent();
    // What happened to port blocks since the last call.
    std::vector<struct port_block_event> port_block_events();
    void await_datagram(const struct fragment_key& datagram, bool await);

    // As many ICMP errors and resets as may ever be made at once may be made now.
    void refill_reply_budget();

    std::uint32_t resting_ports(std::uint16_t nat_gateway = 0);
    struct counters counters();     // sum over processors
    std::uint32_t unanswered();     // flows that nobody has answered yet, as the programs count them
    std::uint32_t hosts_holding();  // instances with flows or ports of a NAT gateway with limits
    std::vector<struct flow_entry> entries();  // all that stand in the table (array only)
    Bytes table();                             // the memory of all buckets (array only)
    void restore_table(const Bytes& memory);
    void for_each_entry(const std::function<void(const struct flow_entry&)>& visit);
    std::uint32_t reap(const std::vector<struct reap_request>& requests, std::uint32_t mode);
    // Offers every flow to the reaper, and every mapping and block without flows; how many flows it removed.
    std::uint32_t reap_all(std::uint32_t mode);

    // How many instructions the verifier had to walk through before it let the program run.
    std::uint32_t verified_instructions(Role role) const;
    int program_fd(Role role) const;
    int map_fd(const std::string& name) const;
    std::uint64_t map_bytes(const std::string& name) const;  // kernel memory, from the map's fdinfo

  private:
    Outcome run_program(int program, const Bytes& input, std::uint32_t metadata, struct counters& before,
                        struct counters& after);

    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// Seconds of an operator as the units of a flow's timeout; as agent/reconcile does it.
std::uint16_t timeout_units(std::chrono::seconds seconds);

}  // namespace sallyport::support

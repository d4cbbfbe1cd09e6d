// SPDX-License-Identifier: Apache-2.0
//
// What a packet costs on its way from a private network through a gateway, on live frames over veth, in
// processor time per packet: Sallyport, a stateless redirect and nftables masquerade, in the same network and
// fed by the same generator. Generator, gateway and sink work in lock step on one processor. Each round has a
// new network for each gateway, one after another. Prints JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/gateways.h"
#include "bench/rounds.h"

namespace sallyport::bench {
namespace {

constexpr std::size_t small_frame = 60, large_frame = 1514;
constexpr std::size_t tcp_headers = 54;
constexpr std::uint32_t flow_capacity = 1'048'576;  // what a gateway has unless told otherwise
constexpr std::uint32_t turn = 100'000;             // packets before the other direction has its turn

struct Options {
    std::vector<std::uint32_t> flows;
    int rounds = 5;
    std::uint32_t packets = 500'000;
    int processor = 0;
};

// Packets of the one TCP connection that all flows are copies of but for their ports.
struct Connection {
    const char* external;

    [[nodiscard]] support::Packet out(int flags, std::uint32_t seq, std::uint32_t ack,
                                      std::size_t frame) const {
        return packet(support::tcp().from(instance_address, 1).to(remote_address, 1), flags, seq, ack, frame,
                      instance_mac, lan_mac);
    }
    [[nodiscard]] support::Packet in(int flags, std::uint32_t seq, std::uint32_t ack,
                                     std::size_t frame) const {
        return packet(support::tcp().from(remote_address, 1).to(external, 1), flags, seq, ack, frame,
                      router_mac, wan_mac);
    }

  private:
    static support::Packet packet(support::Packet packet, int flags, std::uint32_t seq, std::uint32_t ack,
                                  std::size_t frame, const Mac& from, const Mac& to) {
        packet.flags(flags).seq(seq, ack);
        packet.source_mac = from;
        packet.destination_mac = to;
        packet.dont_fragment = true;
        if (frame > small_frame) packet.with_payload(frame - tcp_headers);
        return packet;
    }
};

using Sample = std::map<std::string, double>;  // nanoseconds by what was measured

// One gateway in one round.
class Run {
  public:
    Run(Gateway& gateway, FlowDriver& driver, std::vector<tuple> forward, std::uint32_t packets)
        : gateway_(gateway),
          driver_(driver),
          forward_(std::move(forward)),
          packets_(packets),
          flows_(static_cast<std::uint32_t>(forward_.size())),
          connection_{gateway.external_address()} {}

    Sample measure(bool tracks) {
        Sample sample;
        reverse_ = gateway_.reverse_of(forward_);  // for gateways that keep nothing
        if (tracks) {
            sample["new_flow"] = open();
            expect_translation();
        }
        // The next hop of a flow is found at the first packet after the handshake; caches fill.
        (void)data(Direction::out, flows_, small_frame);
        (void)data(Direction::in, flows_, small_frame);
        sample["out"] = data(Direction::out, packets_, small_frame);
        sample["in"] = data(Direction::in, packets_, small_frame);
        sample["out_1514"] = data(Direction::out, packets_, large_frame);
        sample["in_1514"] = data(Direction::in, packets_, large_frame);
        sample["both"] = both();
        return sample;
    }

  private:
    // Makes all flows, by a whole handshake each. Gives the cost of the first packet.
    double open() {
        // The first tenth does not count: it pays for memory that is touched for the first time.
        const auto counted = forward_.begin() + flows_ / 10;
        const std::vector<tuple> first(forward_.begin(), counted), rest(counted, forward_.end());
        const support::Packet opening = connection_.out(support::syn, 1000, 0, small_frame);
        (void)send(Direction::out, opening, first, static_cast<std::uint32_t>(first.size()));
        const double cost = send(Direction::out, opening, rest, static_cast<std::uint32_t>(rest.size()));
        if (gateway_.flows() != flows_)
            throw std::runtime_error(
                fmt::format("{} flows were opened and {} are tracked", flows_, gateway_.flows()));
        reverse_ = gateway_.reverse_of(forward_);
        // Neither direction in the order in which flows were made, which is that of conntrack's objects in
        // memory: the processor would fetch them ahead.
        std::shuffle(forward_.begin(), forward_.end(), std::mt19937(11));
        std::shuffle(reverse_.begin(), reverse_.end(), std::mt19937(7));
        (void)send(Direction::in, connection_.in(support::syn | support::ack, 2000, 1001, small_frame),
                   reverse_, flows_);
        (void)send(Direction::out, connection_.out(support::ack, 1001, 2001, small_frame), forward_, flows_);
        return cost;
    }

    void expect_translation() {
        if (gateway_.network().arrived_from(Direction::out) != connection_.external ||
            gateway_.network().arrived_for(Direction::in) != instance_address)
            throw std::runtime_error("packets are not translated");
    }

    double data(Direction direction, std::uint32_t count, std::size_t frame) {
        return direction == Direction::out
                   ? send(direction, connection_.out(support::ack, 1001, 2001, frame), forward_, count)
                   : send(direction, connection_.in(support::ack, 2001, 1001, frame), reverse_, count);
    }

    // Half of the packets in each direction, by turns, so that both entries of all flows want their place in
    // the caches.
    double both() {
        double sum = 0;
        std::uint32_t turns = 0;
        for (std::uint32_t sent = 0; sent < packets_; sent += 2 * turn, turns += 2) {
            sum += part(Direction::out, sent / 2);
            sum += part(Direction::in, sent / 2);
        }
        return sum / turns;
    }
    double part(Direction direction, std::uint32_t first) {
        const std::vector<tuple>& all = direction == Direction::out ? forward_ : reverse_;
        // The turns go through the flows on and on, as one long turn would.
        std::vector<tuple> next(std::min(turn, flows_));
        for (std::size_t i = 0; i < next.size(); i++) next[i] = all[(first + i) % all.size()];
        const support::Packet packet = direction == Direction::out
                                           ? connection_.out(support::ack, 1001, 2001, small_frame)
                                           : connection_.in(support::ack, 2001, 1001, small_frame);
        return send(direction, packet, next, turn);
    }

    double send(Direction direction, const support::Packet& like, const std::vector<tuple>& tuples,
                std::uint32_t count) {
        gateway_.attend();
        driver_.aim(like, tuples, gateway_.network().sender(direction));
        return gateway_.network().send(driver_, direction, count, like.frame().size());
    }

    Gateway& gateway_;
    FlowDriver& driver_;
    std::vector<tuple> forward_, reverse_;
    std::uint32_t packets_, flows_;
    Connection connection_;
};

std::unique_ptr<Gateway> make(const std::string& name) {
    if (name == "redirect") return std::make_unique<RedirectGateway>();
    if (name == "nftables") return std::make_unique<NftablesGateway>();
    return std::make_unique<SallyportGateway>(flow_capacity);
}

nlohmann::json measure(std::uint32_t flows, const Options& options) {
    const std::vector<std::string> names = {"redirect", "sallyport", "nftables"};
    const std::vector<tuple> forward = scattered_tuples(flows);
    FlowDriver driver(flows);
    std::map<std::string, std::map<std::string, std::vector<double>>> samples;
    for (int round = 0; round < options.rounds; round++)
        for (const std::string& name : names) {
            const std::unique_ptr<Gateway> gateway = make(name);
            const Sample sample =
                Run(*gateway, driver, forward, std::max(options.packets, flows)).measure(name != "redirect");
            for (const auto& [what, nanoseconds] : sample) samples[name][what].push_back(nanoseconds);
            std::fprintf(stderr, "%u flows, round %d, %s: %s\n", flows, round + 1, name.c_str(),
                         nlohmann::json(sample).dump().c_str());
        }

    nlohmann::json result = {{"flows", flows}, {"rounds", options.rounds}};
    for (const auto& [name, values] : samples)
        for (const auto& [what, list] : values) {
            result["nanoseconds"][name][what] = median(list);
            result["samples"][name][what] = list;
        }
    // The ratio of each round, because what disturbs one gateway disturbs its neighbours in time as well.
    const auto ratio = [&](const std::string& above, const std::string& below, const std::string& what,
                           const std::string& what_below) {
        std::vector<double> ratios;
        for (std::size_t i = 0; i < samples[above][what].size(); i++)
            ratios.push_back(samples[above][what][i] / samples[below][what_below][i]);
        return median(ratios);
    };
    for (const char* what : {"out", "in", "both", "out_1514", "in_1514"}) {
        result["sallyport_to_redirect"][what] = ratio("sallyport", "redirect", what, what);
        result["nftables_to_sallyport"][what] = ratio("nftables", "sallyport", what, what);
    }
    result["nftables_to_sallyport"]["new_flow"] = ratio("nftables", "sallyport", "new_flow", "new_flow");
    for (const std::string& name : names)
        for (const std::string what : {"out", "in"})
            result["large_to_small"][name][what] = ratio(name, name, what + "_1514", what);
    return result;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        const auto value = [&](const std::string& name) -> const char* {
            return argument.rfind(name, 0) == 0 ? argv[i] + name.size() : nullptr;
        };
        if (const char* rounds = value("--rounds=")) {
            options.rounds = std::stoi(rounds);
        } else if (const char* packets = value("--packets=")) {
            options.packets = static_cast<std::uint32_t>(std::stoul(packets));
        } else if (const char* processor = value("--processor=")) {
            options.processor = std::stoi(processor);
        } else {
            options.flows.push_back(static_cast<std::uint32_t>(std::stoul(argument)));
        }
    }
    return options;
}

}  // namespace
}  // namespace sallyport::bench

// path_cost [--rounds=N] [--packets=N] [--processor=N] FLOWS...
int main(int argc, char** argv) {
    using namespace sallyport::bench;
    try {
        const Options options = parse(argc, argv);
        bind_to_processor(options.processor);
        isolate_mounts();
        nlohmann::json results = nlohmann::json::array();
        for (std::uint32_t flows : options.flows) results.push_back(measure(flows, options));
        std::printf("%s\n", results.dump(2).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "path_cost: %s\n", error.what());
        return 1;
    }
    return 0;
}

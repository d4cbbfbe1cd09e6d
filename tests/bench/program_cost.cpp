// SPDX-License-Identifier: Apache-2.0
//
// What the programs cost per packet, in BPF_PROG_RUN: established TCP flows in random order, both directions,
// on the flow table and on the kernel's hash map, in interleaved rounds. Prints JSON.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "bench/flow_driver.h"
#include "bench/rounds.h"
#include "support/program_lab.h"

namespace sallyport::bench {
namespace {

using support::ProgramLab;
using support::Role;
using support::Table;

constexpr const char* instance = "10.0.0.11";
constexpr const char* remote = "203.0.113.10";
constexpr const char* eip = "198.51.100.10";

struct Options {
    int rounds = 5;
    std::uint32_t packets = 2'000'000;  // a round; at least one of each flow that is visited
    bool array_only = false;            // without the hash map, to count instructions
    std::vector<std::uint32_t> flows;
};

double cpu_milliseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// So many of the flows are visited, chosen at random: as hard to reach in memory as all of them, in less
// time.
constexpr std::size_t visited_at_most = 3'000'000;

constexpr std::uint32_t batch = 65536;  // entries of the hash map that are read at once

// Reverse tuples of all flows, as the outside sends them.
std::vector<tuple> reverse_tuples(ProgramLab& lab, Table table, std::uint32_t flows) {
    std::vector<tuple> tuples;
    tuples.reserve(flows);
    auto add = [&tuples](const flow_entry& entry) {
        if (!(entry.flags & FLOW_FORWARD))
            tuples.push_back({entry.key.source_port, entry.key.destination_port});
    };
    if (table == Table::array) {
        lab.for_each_entry(add);
    } else {
        std::vector<flow_key> keys(batch);
        std::vector<flow_entry> entries(batch);
        std::uint32_t from = 0, next = 0;
        for (bool first = true, more = true; more; first = false, from = next) {
            std::uint32_t count = batch;
            more = bpf_map_lookup_batch(lab.map_fd("flow_hash"), first ? nullptr : &from, &next, keys.data(),
                                        entries.data(), &count, nullptr) == 0;
            if (!more && errno != ENOENT) throw std::runtime_error("cannot read the hash map");
            for (std::uint32_t i = 0; i < count; i++) add(entries[i]);
        }
    }
    return tuples;
}

struct Subject {
    Table table;
    std::unique_ptr<ProgramLab> lab;
    std::vector<tuple> reverse;
    std::vector<double> out, in;
    double empty = 0;
    double new_flow = 0, bytes_per_flow = 0;
};

nlohmann::json measure(std::uint32_t flows, const Options& options) {
    const std::vector<tuple> all = scattered_tuples(flows);
    // Not in the order in which they are made, which is that of the hash map's elements in memory: the
    // processor would fetch them ahead.
    std::vector<tuple> forward = all;
    std::shuffle(forward.begin(), forward.end(), std::mt19937(11));
    forward.resize(std::min(forward.size(), visited_at_most));
    const auto visited = static_cast<std::uint32_t>(forward.size());
    FlowDriver driver(flows);
    support::Packet opening = support::tcp().from(instance, 1).to(remote, 1);
    support::Packet data = support::tcp().from(instance, 1).to(remote, 1).flags(support::ack);
    support::Packet reply = support::tcp().from(remote, 1).to(eip, 1).flags(support::ack);
    data.dont_fragment = reply.dont_fragment = true;  // as every TCP sends
    support::Packet syn_ack = support::tcp().from(remote, 1).to(eip, 1).flags(support::syn | support::ack);

    std::vector<Subject> subjects(options.array_only ? 1 : 2);
    bool network = true;
    for (std::size_t i = 0; i < subjects.size(); i++) {
        Subject& subject = subjects[i];
        subject.table = i == 0 ? Table::array : Table::hash;
        subject.lab = std::make_unique<ProgramLab>(support::LabOptions{
            .table = subject.table, .flow_capacity = flows + flows / 4 + 1000, .make_network = network});
        network = false;
        driver.aim(opening, all);
        subject.new_flow = driver.call(subject.lab->program_fd(Role::inside), flows);
        subject.reverse = reverse_tuples(*subject.lab, subject.table, flows);
        if (subject.reverse.size() != flows) throw std::runtime_error("not all flows were made");
        std::shuffle(subject.reverse.begin(), subject.reverse.end(), std::mt19937(7));
        subject.reverse.resize(visited);
        driver.aim(syn_ack, subject.reverse);
        driver.call(subject.lab->program_fd(Role::outside), visited);
        // Each direction once more: the next hop is found at the first packet after the handshake.
        driver.aim(data, forward);
        driver.call(subject.lab->program_fd(Role::inside), visited);
        std::uint64_t bytes = subject.table == Table::array ? subject.lab->map_bytes("flow_buckets") +
                                                                  subject.lab->map_bytes("flow_locks")
                                                            : subject.lab->map_bytes("flow_hash");
        subject.bytes_per_flow = static_cast<double>(bytes) / (flows + flows / 4 + 1000);
    }

    const std::uint32_t count = std::max(options.packets, visited);
    for (int round = 0; round < options.rounds; round++)
        for (Subject& subject : subjects) {
            driver.aim(data, forward);
            double empty = driver.call_empty(count);
            subject.out.push_back(driver.call(subject.lab->program_fd(Role::inside), count) - empty);
            driver.aim(reply, subject.reverse);
            empty = driver.call_empty(count);
            subject.empty = empty;
            subject.in.push_back(driver.call(subject.lab->program_fd(Role::outside), count) - empty);
        }
    nlohmann::json result;
    result["flows"] = flows;
    const char* names[] = {"array", "hash"};
    for (std::size_t i = 0; i < subjects.size(); i++)
        result[names[i]] = {{"out_ns", median(subjects[i].out)},
                            {"in_ns", median(subjects[i].in)},
                            {"both_ns", (median(subjects[i].out) + median(subjects[i].in)) / 2},
                            {"new_flow_ns", subjects[i].new_flow},
                            {"driver_ns", subjects[i].empty},
                            {"bytes_per_flow_of_capacity", subjects[i].bytes_per_flow}};
    if (subjects.size() == 2) {
        result["ratio_out"] = median(subjects[0].out) / median(subjects[1].out);
        result["ratio_in"] = median(subjects[0].in) / median(subjects[1].in);
        result["ratio"] = (median(subjects[0].out) + median(subjects[0].in)) /
                          (median(subjects[1].out) + median(subjects[1].in));
    }

    // Ageing: the reaper over flows that have all timed out.
    ProgramLab& lab = *subjects[0].lab;
    lab.advance(std::chrono::seconds(8000));
    double before = cpu_milliseconds();
    std::uint32_t removed = lab.reap_all(REAP_EXPIRED);
    result["reap_all_ms"] = cpu_milliseconds() - before;
    result["reaped"] = removed;
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
            bind_to_processor(std::stoi(processor));
        } else if (argument == "--array-only") {
            options.array_only = true;
        } else {
            options.flows.push_back(static_cast<std::uint32_t>(std::stoul(argument)));
        }
    }
    return options;
}

}  // namespace
}  // namespace sallyport::bench

// program_cost [--rounds=N] [--packets=N] [--processor=N] [--array-only] FLOWS...
int main(int argc, char** argv) {
    using namespace sallyport::bench;
    try {
        const Options options = parse(argc, argv);
        nlohmann::json results = nlohmann::json::array();
        for (std::uint32_t flows : options.flows) {
            results.push_back(measure(flows, options));
            std::fprintf(stderr, "%s\n", results.back().dump().c_str());
        }
        std::printf("%s\n", results.dump(2).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "program_cost: %s\n", error.what());
        return 1;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// What a new flow costs with a large configuration against a small one, in BPF_PROG_RUN and in interleaved
// rounds. Prints JSON. With --most=RATIO it fails where the large one costs more than so many times the small
// one.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/flow_driver.h"
#include "bench/rounds.h"
#include "support/program_lab.h"

namespace sallyport::bench {
namespace {

using support::ProgramLab;
using support::Role;

constexpr const char* remote = "203.0.113.10";
constexpr std::uint32_t flows = 20'000;  // made in a round, and removed after it

constexpr int routes = 10'000, elastic_ips = 1'000, groups = 1'000, instances = 10'000;

struct Options {
    int rounds = 7;
    double most = 0;  // 0: whatever comes out
};

// Rules that match nothing that is sent here, and then one that matches all.
struct security_group group_of(int rules, bool last_matches) {
    struct security_group group {};
    group.egress_count = static_cast<__u16>(rules);
    for (int i = 0; i < rules; ++i) {
        security_rule& rule = group.egress[i];
        rule.remote = Ipv4Address(10, static_cast<std::uint8_t>(i), 0, 0).to_network();
        rule.mask = Ipv4Address(255, 255, 0, 0).to_network();
        rule.first_port = 0;
        rule.last_port = 65535;
        rule.protocol = 6;
    }
    if (last_matches) group.egress[rules - 1].remote = group.egress[rules - 1].mask = 0;
    return group;
}

// The route of the packets is the widest of all, and the rule that lets them out the last one of all groups.
void fill(ProgramLab& lab) {
    for (int i = 0; i < routes; ++i) {
        const std::string destination =
            i % 2 == 0 ? Ipv4Address(0xac100000U + 256U * static_cast<unsigned>(i)).to_string() + "/24"
                       : Ipv4Address(0x64400000U + 64U * static_cast<unsigned>(i)).to_string() + "/27";
        lab.add_route(1, destination.c_str(), i % 3 == 0 ? ROUTE_BLACKHOLE : ROUTE_NAT_GATEWAY, 0);
    }
    for (int number = 1; number <= groups; ++number)
        lab.change_security_group(static_cast<std::uint16_t>(number),
                                  group_of(SECURITY_GROUP_RULES_MAX, number % 5 == 0));
    for (int i = 0; i < instances; ++i) {
        const std::string address = fmt::format("10.0.{}.{}", 8 + i / 200, i % 200 + 1);
        const auto first = static_cast<std::uint16_t>(1 + i % (groups / 5) * 5);
        if (i < elastic_ips) {
            lab.give_elastic_ip(Ipv4Address(0xc6120001U + static_cast<unsigned>(i)).to_string().c_str(),
                                address.c_str(), {first});
        } else {
            lab.group_instance(address.c_str(), {first});
        }
    }
}

struct Subject {
    std::string name;
    ProgramLab* lab;
    const char* instance;
    std::vector<double> nanoseconds = {};
};

nlohmann::json measure(const Options& options) {
    const auto make = [](bool network) {
        auto lab = std::make_unique<ProgramLab>(
            support::LabOptions{.flow_capacity = 4 * flows, .make_network = network});
        lab->set_unanswered_capacity(0);
        return lab;
    };
    const auto small = make(true), large = make(false);
    small->change_security_group(1, group_of(1, true));
    small->group_instance("10.0.0.12", {1});
    fill(*large);
    large->group_instance("10.0.0.12", {5});
    large->group_instance("10.0.0.13", {1, 2, 3, 4, 5});

    std::vector<Subject> subjects{{"small", small.get(), "10.0.0.12"},
                                  {"large, no group", large.get(), "10.0.0.11"},
                                  {"large, one group of 60 rules", large.get(), "10.0.0.12"},
                                  {"large, five groups of 60 rules", large.get(), "10.0.0.13"}};
    const std::vector<tuple> tuples = scattered_tuples(flows);
    FlowDriver driver(flows);
    for (int round = 0; round < options.rounds; ++round) {
        for (Subject& subject : subjects) {
            driver.aim(support::tcp().from(subject.instance, 1).to(remote, 1), tuples);
            const double empty = driver.call_empty(flows);
            subject.nanoseconds.push_back(driver.call(subject.lab->program_fd(Role::inside), flows) - empty);
            if (subject.lab->reap_all(REAP_CUT) != flows) throw std::runtime_error("not all flows were made");
        }
    }
    nlohmann::json result = nlohmann::json::array();
    const double base = median(subjects[0].nanoseconds);
    for (const Subject& subject : subjects) {
        const double cost = median(subject.nanoseconds);
        result.push_back({{"configuration", subject.name}, {"new_flow_ns", cost}, {"ratio", cost / base}});
    }
    return result;
}

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string argument = argv[i];
        if (argument.starts_with("--rounds=")) {
            options.rounds = std::stoi(argument.substr(9));
        } else if (argument.starts_with("--most=")) {
            options.most = std::stod(argument.substr(7));
        } else if (argument.starts_with("--processor=")) {
            bind_to_processor(std::stoi(argument.substr(12)));
        } else {
            throw std::runtime_error("unknown argument " + argument);
        }
    }
    return options;
}

}  // namespace
}  // namespace sallyport::bench

// new_flow [--rounds=N] [--most=RATIO] [--processor=N]
int main(int argc, char** argv) {
    using namespace sallyport::bench;
    try {
        const Options options = parse(argc, argv);
        const nlohmann::json results = measure(options);
        std::printf("%s\n", results.dump(2).c_str());
        for (const auto& result : results) {
            if (options.most == 0 || result.at("ratio") <= options.most) continue;
            std::fprintf(stderr, "new_flow: %s costs more than %g times the small configuration\n",
                         result.at("configuration").get<std::string>().c_str(), options.most);
            return 1;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "new_flow: %s\n", error.what());
        return 1;
    }
    return 0;
}

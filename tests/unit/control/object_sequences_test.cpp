// SPDX-License-Identifier: Apache-2.0
//
// Random sequences of commands beside a plain model of what they should do: the same answers, the same state,
// and the same after a restart, whatever came before.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "control/gateway.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using model::Kind;

// What is desired, as far as the commands here can change it. An Elastic IP is its last byte, a NAT gateway
// the name of its Elastic IP.
struct Desired {
    bool file_uses_both = false;
    std::map<std::string, int> elastic_ips;
    std::map<std::string, std::string> nat_gateways;
    bool operator==(const Desired&) const = default;

    [[nodiscard]] bool has(const std::string& elastic_ip) const {
        return elastic_ip == "eip-1" || elastic_ip == "eip-2" || elastic_ips.contains(elastic_ip);
    }
    [[nodiscard]] bool address_is_free(int byte, const std::string& for_name) const {
        if (byte == 10 || byte == 11) return false;
        return std::ranges::none_of(
            elastic_ips, [&](const auto& other) { return other.second == byte && other.first != for_name; });
    }
    // Who uses it, but for the NAT gateway `beside`.
    [[nodiscard]] bool in_use(const std::string& elastic_ip, const std::string& beside = {}) const {
        if (elastic_ip == "eip-1" || (elastic_ip == "eip-2" && file_uses_both)) return true;
        return std::ranges::any_of(nat_gateways, [&](const auto& gateway) {
            return gateway.second == elastic_ip && gateway.first != beside;
        });
    }
};

using Verdict = std::optional<Refusal::Kind>;  // none: it is done

template <typename T>
Verdict verdict_of(const Outcome<T>& outcome) {
    return outcome ? Verdict{} : Verdict{outcome.error().kind};
}

Desired desired_of(const View& view) {
    Desired desired;
    for (const model::ElasticIp& elastic_ip : view.state->elastic_ips) {
        if (elastic_ip.origin == model::Origin::api)
            desired.elastic_ips[elastic_ip.name] = static_cast<int>(elastic_ip.address.value() & 0xff);
    }
    for (const model::NatGateway& gateway : view.state->nat_gateways) {
        if (gateway.origin == model::Origin::file) {
            desired.file_uses_both = gateway.elastic_ips.size() == 2;
        } else {
            desired.nat_gateways[gateway.name] = gateway.elastic_ips.front();
        }
    }
    return desired;
}

class ObjectSequences : public testing::TestWithParam<unsigned> {
  protected:
    void SetUp() override {
        here_.write_config(configuration());
        ASSERT_TRUE(here_.start());
        history_.push_back(desired_);
    }

    unsigned one_of(unsigned count) { return std::uniform_int_distribution<unsigned>(0, count - 1)(random_); }
    static std::string file(bool both) { return configuration(both ? "eip-1, eip-2" : "eip-1"); }

    // Does one command to both. Gives what the gateway and what the model says.
    std::pair<Verdict, Verdict> step() {
        Gateway& gateway = *here_.gateway;
        const std::string elastic_ip = fmt::format("e{}", one_of(4));
        const std::string nat_gateway = fmt::format("n{}", one_of(3));
        const int byte = one_of(8) == 0 ? 11 : 20 + static_cast<int>(one_of(4));
        const std::string address = fmt::format(R"("address": "198.51.100.{}")", byte);
        switch (one_of(9)) {
            case 0:
            case 1: {
                const auto done = gateway.create_object(
                    Kind::elastic_ips, fmt::format(R"({{"name": "{}", {}}})", elastic_ip, address), "test");
                if (desired_.elastic_ips.contains(elastic_ip))
                    return {verdict_of(done), Refusal::Kind::conflict};
                return {verdict_of(done), set_address(elastic_ip, byte)};
            }
            case 2: {
                const auto done = gateway.patch_object(Kind::elastic_ips, elastic_ip,
                                                       fmt::format("{{{}}}", address), "test");
                if (!desired_.elastic_ips.contains(elastic_ip))
                    return {verdict_of(done), Refusal::Kind::missing};
                return {verdict_of(done), set_address(elastic_ip, byte)};
            }
            case 3: {
                const auto done = gateway.delete_object(Kind::elastic_ips, elastic_ip, "test");
                if (!desired_.elastic_ips.contains(elastic_ip))
                    return {verdict_of(done), Refusal::Kind::missing};
                if (desired_.in_use(elastic_ip)) return {verdict_of(done), Refusal::Kind::conflict};
                desired_.elastic_ips.erase(elastic_ip);
                return {verdict_of(done), {}};
            }
            case 4:
            case 5: {
                const std::string used = one_of(4) == 0 ? fmt::format("eip-{}", 1 + one_of(2)) : elastic_ip;
                const auto done = gateway.put_object(
                    Kind::nat_gateways, nat_gateway,
                    fmt::format(R"({{"vpc": "main", "elastic_ips": ["{}"]}})", used), "test");
                if (!desired_.has(used) || desired_.in_use(used, nat_gateway))
                    return {verdict_of(done), Refusal::Kind::invalid};
                desired_.nat_gateways[nat_gateway] = used;
                return {verdict_of(done), {}};
            }
            case 6: {
                const auto done = gateway.delete_object(Kind::nat_gateways, nat_gateway, "test");
                if (desired_.nat_gateways.erase(nat_gateway) == 0)
                    return {verdict_of(done), Refusal::Kind::missing};
                return {verdict_of(done), {}};
            }
            case 7: {
                const bool both = one_of(2) == 0;
                const auto done = gateway.apply({{"f", file(both)}}, "test");
                Desired without_file = desired_;
                without_file.file_uses_both = false;
                if (both && without_file.in_use("eip-2")) return {verdict_of(done), Refusal::Kind::conflict};
                desired_.file_uses_both = both;
                return {verdict_of(done), {}};
            }
            default: {
                const std::size_t back = one_of(static_cast<unsigned>(history_.size()));
                const auto done = gateway.rollback(back + 1, "test");
                desired_ = history_[back];
                return {verdict_of(done), {}};
            }
        }
    }

    Verdict set_address(const std::string& name, int byte) {
        if (!desired_.address_is_free(byte, name)) return Refusal::Kind::invalid;
        desired_.elastic_ips[name] = byte;
        return {};
    }

    GatewayInMemory here_;
    std::minstd_rand random_{GetParam()};
    Desired desired_;
    std::vector<Desired> history_;  // of each revision
};

TEST_P(ObjectSequences, GoAsThePlainModelSays) {
    for (int number = 0; number < 60; ++number) {
        const auto [told, expected] = step();
        ASSERT_EQ(told, expected) << "command " << number;
        if (desired_ != history_.back()) history_.push_back(desired_);
        ASSERT_EQ(desired_of(*here_.gateway->view()), desired_) << "command " << number;
        ASSERT_EQ(here_.gateway->view()->desired_revision, history_.size()) << "command " << number;
        ASSERT_TRUE(here_.gateway->view()->ready());
        if (one_of(6) != 0) continue;
        const std::uint64_t writes = here_.kernel->writes;
        ASSERT_TRUE(here_.start());
        ASSERT_EQ(desired_of(*here_.gateway->view()), desired_) << "after a restart";
        ASSERT_EQ(here_.gateway->view()->desired_revision, history_.size());
        ASSERT_EQ(here_.kernel->writes, writes) << "a restart writes nothing";
    }
}

INSTANTIATE_TEST_SUITE_P(Random, ObjectSequences, testing::Range(1u, 41u));

}  // namespace
}  // namespace sallyport::control

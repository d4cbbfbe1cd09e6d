// SPDX-License-Identifier: Apache-2.0
//
// Commands on one object, and how they get along with the file.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "control/gateway.h"
#include "control/plan.h"
#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using model::Kind;

constexpr const char* eip3 = R"({"name": "eip-3", "address": "198.51.100.12"})";
constexpr const char* second_gateway = R"({"name": "second", "vpc": "main", "elastic_ips": ["eip-3"]})";

class ObjectsTest : public testing::Test {
  protected:
    void SetUp() override {
        here_.write_config(configuration());
        start();
    }
    void start() {
        const auto started = here_.start();
        ASSERT_TRUE(started) << started.error().message;
    }
    Gateway& gateway() { return *here_.gateway; }
    std::shared_ptr<const View> view() const { return here_.gateway->view(); }
    void create(Kind kind, const std::string& json) {
        const auto created = gateway().create_object(kind, json, "test");
        ASSERT_TRUE(created) << created.error().message;
    }
    bool has(Kind kind, const std::string& name) const {
        return model::find_object(*view()->state, kind, name).has_value();
    }
    std::vector<model::Object> api_objects() const {
        return model::objects_of(*view()->state, model::Origin::api);
    }

    GatewayInMemory here_;
};

template <typename T>
Refusal::Kind refused(const Outcome<T>& outcome) {
    EXPECT_FALSE(outcome);
    return outcome ? Refusal::Kind::failed : outcome.error().kind;
}

TEST_F(ObjectsTest, AreMadeInForceAndInTheHistory) {
    const auto created = gateway().create_object(Kind::elastic_ips, eip3, "uid 0");
    ASSERT_TRUE(created) << created.error().message;
    EXPECT_EQ(created->name, "eip-3");
    EXPECT_TRUE(created->created);
    EXPECT_FALSE(created->replayed);
    EXPECT_EQ(nlohmann::json::parse(created->json)["origin"], "api");
    create(Kind::nat_gateways, second_gateway);
    EXPECT_EQ(view()->desired_revision, 3u);
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
    EXPECT_EQ(here_.kernel->tables.nat_gateways.size(), 2u);
    EXPECT_EQ((*here_.store->newest())->source, store::Source::api);
    EXPECT_EQ((*here_.store->find(2))->audit, "uid 0");
    EXPECT_EQ((*here_.store->find(2))->changes, 1u);
    EXPECT_EQ((*here_.store->newest())->document.text, configuration());
}

TEST_F(ObjectsTest, SurviveARestartAndAreWrittenOnce) {
    create(Kind::elastic_ips, eip3);
    const std::vector<model::Object> before = api_objects();
    const std::uint64_t writes = here_.kernel->writes;
    start();
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(api_objects(), before);
    EXPECT_EQ(here_.kernel->writes, writes);
    const auto same = gateway().put_object(Kind::elastic_ips, "eip-3", eip3, "test");
    ASSERT_TRUE(same);
    EXPECT_FALSE(same->created);
    EXPECT_EQ(view()->desired_revision, 2u) << "nothing differs";
}

TEST_F(ObjectsTest, AreReplacedPatchedAndDeleted) {
    const auto put =
        gateway().put_object(Kind::elastic_ips, "eip-3", R"({"address": "198.51.100.12"})", "test");
    ASSERT_TRUE(put) << put.error().message;
    EXPECT_TRUE(put->created);
    create(Kind::nat_gateways, second_gateway);
    const auto patched = gateway().patch_object(Kind::nat_gateways, "second",
                                                R"({"timeouts": {"udp": "400s"}, "hairpin": "off"})", "test");
    ASSERT_TRUE(patched) << patched.error().message;
    const auto* second = model::find<model::NatGateway>(*view()->state, "second");
    EXPECT_EQ(second->timeouts.udp, std::chrono::seconds{400});
    EXPECT_EQ(second->elastic_ips, std::vector<std::string>{"eip-3"});

    const auto in_use = gateway().delete_object(Kind::elastic_ips, "eip-3", "test");
    EXPECT_EQ(refused(in_use), Refusal::Kind::conflict);
    EXPECT_EQ(in_use.error().message, "Elastic IP \"eip-3\" is in use by NAT gateway \"second\"");
    ASSERT_TRUE(gateway().delete_object(Kind::nat_gateways, "second", "test"));
    ASSERT_TRUE(gateway().delete_object(Kind::elastic_ips, "eip-3", "test"));
    EXPECT_TRUE(api_objects().empty());
    EXPECT_EQ(here_.kernel->tables.nat_gateways.size(), 1u);
    EXPECT_EQ(refused(gateway().delete_object(Kind::elastic_ips, "eip-3", "test")), Refusal::Kind::missing);
    EXPECT_EQ(refused(gateway().patch_object(Kind::elastic_ips, "eip-3", "{}", "test")),
              Refusal::Kind::missing);
}

TEST_F(ObjectsTest, WhatIsWrongChangesNothing) {
    const auto wrong = gateway().create_object(
        Kind::elastic_ips, R"({"name": "x", "address": "198.51.100.10", "colour": "red"})", "test");
    EXPECT_EQ(refused(wrong), Refusal::Kind::invalid);
    EXPECT_EQ(wrong.error().message, "the Elastic IP is not valid: 2 faults");
    EXPECT_EQ(wrong.error().faults.size(), 2u);
    create(Kind::elastic_ips, eip3);
    const auto again = gateway().create_object(Kind::elastic_ips, eip3, "test");
    EXPECT_EQ(refused(again), Refusal::Kind::conflict);
    EXPECT_EQ(again.error().message, "there is an Elastic IP \"eip-3\" already");
    EXPECT_EQ(refused(gateway().create_object(Kind::elastic_ips, R"({"name": "eip-1", "address": "1.2.3.4"})",
                                              "test")),
              Refusal::Kind::conflict);
    EXPECT_EQ(view()->desired_revision, 2u);
}

TEST_F(ObjectsTest, ThoseOfTheFileAreLeftToIt) {
    const auto deleted = gateway().delete_object(Kind::elastic_ips, "eip-2", "test");
    EXPECT_EQ(refused(deleted), Refusal::Kind::conflict);
    EXPECT_EQ(deleted.error().message, "Elastic IP \"eip-2\" is declared in " + here_.config_path +
                                           ": change it there, then run `sallyport reload`");
    ASSERT_TRUE(gateway().apply({{"new.yaml", configuration("eip-2")}}, "test"));
    const auto put = gateway().put_object(Kind::elastic_ips, "eip-2", R"({"address": "1.2.3.4"})", "test");
    EXPECT_EQ(refused(put), Refusal::Kind::conflict);
    EXPECT_NE(put.error().message.find("`sallyport apply new.yaml`"), std::string::npos);
    EXPECT_EQ(refused(gateway().patch_object(Kind::elastic_ips, "eip-2", "{}", "test")),
              Refusal::Kind::conflict);
}

TEST_F(ObjectsTest, StayWhenTheFileChanges) {
    create(Kind::elastic_ips, eip3);
    const auto planned = plan_for(here_.reader->now(), {{"new.yaml", configuration("eip-1, eip-2")}});
    ASSERT_TRUE(planned);
    ASSERT_EQ(planned->changes.size(), 1u);
    EXPECT_EQ(planned->changes[0].kind, "nat_gateways");
    ASSERT_TRUE(gateway().apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test"));
    EXPECT_TRUE(has(Kind::elastic_ips, "eip-3"));
    here_.write_config(configuration("eip-2"));
    ASSERT_TRUE(gateway().reload("test"));
    EXPECT_TRUE(has(Kind::elastic_ips, "eip-3"));
    here_.write_config(configuration("eip-1"));
    start();
    EXPECT_TRUE(has(Kind::elastic_ips, "eip-3")) << "nor does a start with a new file take it away";
    EXPECT_EQ((*here_.store->newest())->source, store::Source::file);
}

TEST_F(ObjectsTest, FileThatDoesNotGoWithThemIsRefused) {
    create(Kind::subnets, R"({"name": "db", "vpc": "main", "cidr": "10.0.2.0/24"})");
    const std::string file = [] {
        std::string text = configuration();
        const std::string app = "{ name: app, vpc: main, cidr: 10.0.1.0/24, route_table: private }";
        return text.replace(text.find(app), app.size(),
                            app + ", { name: two, vpc: main, cidr: 10.0.2.0/25 }");
    }();
    const std::uint64_t writes = here_.kernel->writes;
    here_.write_config(file);
    for (const auto& refusal :
         {gateway().apply({{"new.yaml", file}}, "test").error(),
          plan_for(here_.reader->now(), {{"new.yaml", file}}).error(), gateway().reload("test").error(),
          find_opening(*here_.store, here_.config_path).error()}) {
        EXPECT_EQ(refusal.kind, Refusal::Kind::conflict);
        EXPECT_NE(refusal.message.find("does not go with the objects"), std::string::npos);
        ASSERT_EQ(refusal.faults.size(), 1u);
        EXPECT_GT(refusal.faults[0].line, 0);
        EXPECT_NE(refusal.faults[0].message.find("subnet \"db\""), std::string::npos);
    }
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(here_.kernel->writes, writes);

    const auto pruned = plan_for(here_.reader->now(), {{"new.yaml", file}}, true);
    ASSERT_TRUE(pruned) << pruned.error().message;
    EXPECT_EQ(pruned->changes.size(), 2u);
    ASSERT_TRUE(gateway().apply({{"new.yaml", file}}, "test", {}, true));
    EXPECT_TRUE(api_objects().empty());
}

TEST_F(ObjectsTest, FileMayTakeAnObjectOver) {
    create(Kind::security_groups, R"({"name": "web", "vpc": "main"})");
    const std::string with_web = configuration() + "security_groups: [ { name: web, vpc: main } ]\n";
    EXPECT_EQ(refused(gateway().apply({{"new.yaml", with_web}}, "test")), Refusal::Kind::conflict);
    const auto applied = gateway().apply({{"new.yaml", with_web}}, "test", {}, true);
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_TRUE(applied->changes.empty());
    EXPECT_EQ(applied->revision, 3u) << "where it comes from has changed all the same";
    start();
    EXPECT_TRUE(api_objects().empty());
    EXPECT_TRUE(has(Kind::security_groups, "web"));
}

TEST_F(ObjectsTest, RollbackBringsBothHalvesBack) {
    create(Kind::elastic_ips, eip3);                                               // 2
    ASSERT_TRUE(gateway().apply({{"new.yaml", configuration("eip-2")}}, "test"));  // 3
    ASSERT_TRUE(gateway().delete_object(Kind::elastic_ips, "eip-3", "test"));      // 4
    ASSERT_TRUE(gateway().rollback(2, "test"));
    EXPECT_TRUE(has(Kind::elastic_ips, "eip-3"));
    EXPECT_EQ(model::find<model::NatGateway>(*view()->state, "egress")->elastic_ips,
              std::vector<std::string>{"eip-1"});
    ASSERT_TRUE(gateway().rollback({}, "test"));
    EXPECT_FALSE(has(Kind::elastic_ips, "eip-3"));
    ASSERT_TRUE(gateway().rollback(1, "test"));
    EXPECT_TRUE(api_objects().empty());
    start();
    EXPECT_TRUE(api_objects().empty());
}

TEST_F(ObjectsTest, WaitWhileARevisionAwaitsConfirmation) {
    create(Kind::elastic_ips, eip3);
    ASSERT_TRUE(
        gateway().apply({{"new.yaml", configuration("eip-2")}}, "test", std::chrono::seconds{60}, true));
    EXPECT_EQ(refused(gateway().create_object(Kind::elastic_ips, eip3, "test")), Refusal::Kind::conflict);
    here_.clock.advance(std::chrono::seconds{61});
    gateway().tick();
    EXPECT_TRUE(has(Kind::elastic_ips, "eip-3"));
    EXPECT_FALSE(view()->confirmation);
}

TEST_F(ObjectsTest, RequestWithAKeyIsDoneOnce) {
    const Idempotency key{"key-1", store::digest(eip3)};
    const auto first = gateway().create_object(Kind::elastic_ips, eip3, "test", key);
    ASSERT_TRUE(first) << first.error().message;
    start();
    const auto again = gateway().create_object(Kind::elastic_ips, eip3, "test", key);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->json, first->json);
    EXPECT_EQ(again->name, "eip-3");
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(
        refused(gateway().create_object(Kind::elastic_ips, "{}", "test", Idempotency{"key-1", "other"})),
        Refusal::Kind::key_reused);
    const Idempotency other{"key-2", "wrong"};
    EXPECT_EQ(refused(gateway().create_object(Kind::elastic_ips, "{}", "test", other)),
              Refusal::Kind::invalid);
    EXPECT_FALSE(*here_.store->idempotency_record("key-2", here_.clock.wall())) << "nothing was done";
    here_.clock.advance(store::idempotency_records_kept_for);
    EXPECT_EQ(refused(gateway().create_object(Kind::elastic_ips, eip3, "test", key)),
              Refusal::Kind::conflict);
}

TEST_F(ObjectsTest, StoreThatFailsChangesNothing) {
    const std::string path = here_.folder / "sallyport.db";
    here_.store = std::move(*store::SqliteStore::open(path));
    start();
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database,
                           "CREATE TRIGGER full BEFORE INSERT ON idempotency "
                           "BEGIN SELECT raise(ABORT, 'disk full'); END",
                           nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(database);
    const std::uint64_t writes = here_.kernel->writes;
    // The record is the last part of the transaction: what was written before it is undone.
    EXPECT_EQ(
        refused(gateway().create_object(Kind::elastic_ips, eip3, "test", Idempotency{"key", "request"})),
        Refusal::Kind::failed);
    EXPECT_EQ(view()->desired_revision, 1u);
    EXPECT_EQ((*here_.store->newest())->number, 1u);
    EXPECT_FALSE(has(Kind::elastic_ips, "eip-3"));
    EXPECT_EQ(here_.kernel->writes, writes);
    create(Kind::elastic_ips, eip3);
}

TEST_F(ObjectsTest, KernelThatRefusesIsTriedAgainAndARepetitionSaysHowItStands) {
    here_.kernel->writes_left = 0;
    const Idempotency key{"key-1", "request"};
    EXPECT_EQ(refused(gateway().create_object(
                  Kind::nat_gateways, R"({"name": "second", "vpc": "main", "elastic_ips": ["eip-2"]})",
                  "test", key)),
              Refusal::Kind::not_applied);
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(refused(gateway().create_object(Kind::nat_gateways, "", "test", key)),
              Refusal::Kind::not_applied);
    here_.kernel->writes_left.reset();
    here_.clock.advance(std::chrono::seconds{2});
    gateway().tick();
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
    EXPECT_TRUE(gateway().create_object(Kind::nat_gateways, "", "test", key)->replayed);
}

TEST_F(ObjectsTest, ChangeOfADetachedGatewayAttachesNothing) {
    ASSERT_TRUE(gateway().detach("test"));
    create(Kind::elastic_ips, eip3);
    EXPECT_TRUE(view()->detached);
    EXPECT_TRUE(here_.kernel->links.empty());
    EXPECT_EQ(view()->desired_revision, 2u);
    ASSERT_TRUE(gateway().reload("test"));
    EXPECT_EQ(view()->applied_revision, 2u);
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
}

TEST_F(ObjectsTest, WarningsFollowFromBothHalves) {
    const auto warned = [&](const std::string& part) {
        return std::ranges::any_of(view()->warnings, [&](const std::string& warning) {
            return warning.find(part) != std::string::npos;
        });
    };
    create(Kind::nat_gateways, R"({"name": "second", "vpc": "main", "elastic_ips": ["eip-2"]})");
    EXPECT_TRUE(warned("no route leads to NAT gateway \"second\""));
    create(Kind::route_tables, R"({"name": "t", "vpc": "main",
                                   "routes": [{"destination": "0.0.0.0/0", "nat_gateway": "second"}]})");
    EXPECT_FALSE(warned("no route leads to NAT gateway \"second\""));
}

TEST_F(ObjectsTest, StandInAnOrderThatARestartKeeps) {
    for (const char* name : {"b", "c", "a"}) {
        create(Kind::port_forwards, fmt::format(R"({{"name": "{}", "elastic_ip": "eip-1", "protocol": "tcp",
            "port": "{}", "to": "10.0.1.9:80"}})",
                                                name, 8000 + name[0]));
    }
    const model::DesiredState before = *view()->state;
    EXPECT_EQ(before.port_forwards.front().name, "a");
    const std::uint64_t writes = here_.kernel->writes;
    start();
    EXPECT_EQ(*view()->state, before);
    EXPECT_EQ(here_.kernel->writes, writes);
}

TEST_F(ObjectsTest, AreKeptBesideTheTextThatWasReadLast) {
    here_.write_config(configuration("eip-1", "# a comment is no change\n"));
    ASSERT_TRUE(gateway().reload("test"));
    EXPECT_EQ(view()->desired_revision, 1u);
    create(Kind::elastic_ips, eip3);
    EXPECT_EQ((*here_.store->newest())->document.text, configuration("eip-1", "# a comment is no change\n"));
    create(Kind::nat_gateways, second_gateway);
    EXPECT_EQ((*here_.store->newest())->document, (*here_.store->find(2))->document);
    EXPECT_EQ((*here_.store->find(1))->document.text, configuration());
}

TEST_F(ObjectsTest, AreStoredAsTheyStandThoughOnlyAnOrderChanged) {
    create(Kind::elastic_ips, eip3);
    create(Kind::elastic_ips, R"({"name": "eip-4", "address": "198.51.100.13"})");
    create(Kind::nat_gateways, R"({"name": "n", "vpc": "main", "elastic_ips": ["eip-3", "eip-4"]})");
    ASSERT_TRUE(gateway().put_object(Kind::nat_gateways, "n",
                                     R"({"vpc": "main", "elastic_ips": ["eip-4", "eip-3"]})", "test"));
    EXPECT_EQ(view()->desired_revision, 4u) << "no list means anything by its order";
    create(Kind::elastic_ips, R"({"name": "eip-5", "address": "198.51.100.14"})");
    const model::DesiredState before = *view()->state;
    start();
    EXPECT_EQ(*view()->state, before);
}

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "control/gateway.h"
#include "control/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "unit/gateway_in_memory.h"

namespace sallyport::control {
namespace {

using namespace std::chrono_literals;

class GatewayTest : public testing::Test {
  protected:
    void SetUp() override { here_.write_config(configuration()); }
    void start() {
        const auto started = here_.start();
        ASSERT_TRUE(started) << started.error().message;
    }
    std::shared_ptr<const View> view() const { return here_.gateway->view(); }
    std::size_t elastic_ips_in_use() const {
        return here_.kernel->tables.nat_gateways.empty()
                   ? 0
                   : here_.kernel->tables.nat_gateways.begin()->second.elastic_ips.size();
    }
    bool logged(const std::string& part) const {
        return std::any_of(here_.log.lines.begin(), here_.log.lines.end(),
                           [&](const std::string& line) { return line.find(part) != std::string::npos; });
    }

    GatewayInMemory here_;
};

TEST_F(GatewayTest, TheFirstStartMakesRevisionOneFromTheFile) {
    start();
    EXPECT_EQ(view()->desired_revision, 1u);
    EXPECT_EQ(view()->applied_revision, 1u);
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
    EXPECT_EQ(elastic_ips_in_use(), 1u);
    EXPECT_EQ(here_.kernel->links.size(), 2u);
    EXPECT_EQ((*here_.store->newest())->source, store::Source::file);
    EXPECT_EQ(*here_.store->applied_revision(), 1u);
    EXPECT_EQ(view()->names.nat_gateway(view()->names.nat_gateway_numbers.at("egress")), "egress");
    EXPECT_EQ(view()->names.elastic_ip(Ipv4Address(198, 51, 100, 11)), "eip-2");
}

TEST_F(GatewayTest, ARestartChangesNothing) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    start();
    EXPECT_EQ(view()->desired_revision, 1u);
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
    EXPECT_EQ(here_.kernel->writes, writes);
}

TEST_F(GatewayTest, ApplyIsValidatedCommittedAndInForce) {
    start();
    const auto before = view();
    const auto applied = here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test");
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_EQ(applied->revision, 2u);
    ASSERT_EQ(applied->changes.size(), 1u);
    EXPECT_EQ(applied->changes[0].kind, "nat_gateways");
    EXPECT_EQ(elastic_ips_in_use(), 2u);
    EXPECT_EQ(view()->applied_revision, 2u);
    EXPECT_EQ(before->desired_revision, 1u) << "a view that somebody holds never changes";
    EXPECT_EQ((*here_.store->newest())->audit, "test");
}

TEST_F(GatewayTest, ApplyingTheSameAgainMakesNoRevision) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    const auto applied =
        here_.gateway->apply({{"new.yaml", configuration("eip-1", "# only a comment\n")}}, "test");
    ASSERT_TRUE(applied);
    EXPECT_EQ(applied->revision, 1u);
    EXPECT_TRUE(applied->changes.empty());
    EXPECT_EQ(here_.kernel->writes, writes);
    EXPECT_EQ(here_.store->history(10)->size(), 1u);
}

TEST_F(GatewayTest, AWrongDocumentChangesNothingAndEveryFaultIsTold) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    const std::string wrong = configuration("eip-9") + "surprise: 1\n";
    for (const auto& refused : {here_.gateway->apply({{"new.yaml", wrong}}, "test").error(),
                                plan_for(here_.reader->now(), {{"new.yaml", wrong}}).error()}) {
        EXPECT_EQ(refused.kind, Refusal::Kind::invalid);
        ASSERT_GE(refused.faults.size(), 1u);
        EXPECT_EQ(refused.faults[0].file, "new.yaml");
        EXPECT_GT(refused.faults[0].line, 0);
    }
    EXPECT_EQ(view()->desired_revision, 1u);
    EXPECT_EQ(here_.kernel->writes, writes);
}

TEST_F(GatewayTest, PlanTellsAndChangesNothing) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    const auto plan = plan_for(here_.reader->now(), {{"new.yaml", configuration("eip-2")}});
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->changes.size(), 1u);
    EXPECT_EQ(here_.kernel->writes, writes);
    EXPECT_EQ(view()->desired_revision, 1u);
}

TEST_F(GatewayTest, PlanTellsHowManyFlowsWouldBeCut) {
    start();
    dataplane::FlowRecord flow;
    flow.zone = view()->names.vpcs.begin()->first;
    flow.nat_gateway = view()->names.nat_gateway_numbers.at("egress");
    flow.inside = {Ipv4Address(10, 0, 1, 5), 4000};
    flow.external = {Ipv4Address(198, 51, 100, 10), 2000};
    flow.remote = {Ipv4Address(203, 0, 113, 10), 443};
    flow.state = "established";
    flow.timeout_seconds = 100;
    flow.generation = flow.generation_in = *here_.dataplane->generation();
    here_.kernel->flows = {flow, flow, flow};
    const std::uint64_t writes = here_.kernel->writes;
    const auto numbers = here_.reconciler->tables().identifiers;
    EXPECT_EQ(plan_for(here_.reader->now(), {{"same.yaml", configuration()}})->flows_cut, 0u);
    EXPECT_EQ(plan_for(here_.reader->now(), {{"more.yaml", configuration("eip-1, eip-2")}})->flows_cut, 0u);
    EXPECT_EQ(plan_for(here_.reader->now(), {{"other.yaml", configuration("eip-2")}})->flows_cut, 3u);
    EXPECT_EQ(here_.kernel->writes, writes);
    EXPECT_EQ(here_.reconciler->tables().identifiers, numbers);
    ASSERT_TRUE(here_.gateway->detach("test"));
    EXPECT_EQ(plan_for(here_.reader->now(), {{"other.yaml", configuration("eip-2")}})->flows_cut, 0u);
}

// With fragments beside the configuration file.
class FragmentsTest : public GatewayTest {
  protected:
    void SetUp() override {
        GatewayTest::SetUp();
        std::filesystem::create_directory(here_.folder / "sallyport.d");
        put("10-more.yaml", "vpcs: [ { name: other, cidrs: [10.1.0.0/16] } ]\n");
    }
    std::string path(const std::string& name) const { return here_.folder / "sallyport.d" / name; }
    void put(const std::string& name, const std::string& lists) const {
        ASSERT_TRUE(write_file(path(name), "api_version: sallyport/v1\n" + lists));
    }
    std::size_t vpcs() const { return view()->state->vpcs.size(); }
};

TEST_F(FragmentsTest, AreReadAtAStartAndByAReload) {
    start();
    EXPECT_EQ(vpcs(), 2u);
    EXPECT_EQ(view()->files, (std::vector<std::string>{here_.config_path, path("10-more.yaml")}));
    EXPECT_FALSE(*files_have_changed(here_.reader->now()));
    const auto same = here_.gateway->reload("test");
    ASSERT_TRUE(same);
    EXPECT_EQ(same->revision, 1u);

    put("20-third.yaml", "vpcs: [ { name: third, cidrs: [10.2.0.0/16] } ]\n");
    EXPECT_TRUE(*files_have_changed(here_.reader->now()));
    const auto reloaded = here_.gateway->reload("test");
    ASSERT_TRUE(reloaded) << reloaded.error().message;
    EXPECT_EQ(reloaded->revision, 2u);
    EXPECT_EQ(vpcs(), 3u);
    start();
    EXPECT_EQ(view()->desired_revision, 2u) << "it was read already";
    EXPECT_EQ(view()->files.size(), 3u);

    std::filesystem::remove(path("10-more.yaml"));
    start();
    EXPECT_EQ(view()->desired_revision, 3u) << "a file that is gone is a change of the files";
    EXPECT_EQ(vpcs(), 2u);
    // A rollback brings the texts back, not the files.
    ASSERT_TRUE(here_.gateway->rollback(1, "test"));
    EXPECT_EQ(vpcs(), 2u);
    EXPECT_TRUE(model::find_object(*view()->state, model::Kind::vpcs, "other"));
    EXPECT_EQ(view()->files, (std::vector<std::string>{here_.config_path, path("10-more.yaml")}));
    EXPECT_EQ((*here_.store->newest())->document.fragments.at(0).text,
              "api_version: sallyport/v1\nvpcs: [ { name: other, cidrs: [10.1.0.0/16] } ]\n");
    start();
    EXPECT_TRUE(model::find_object(*view()->state, model::Kind::vpcs, "other"));
}

TEST_F(FragmentsTest, OneWithFaultsOrThatCannotBeReadChangesNothing) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    put("20-wrong.yaml", "vpcs: [ { name: main, cidrs: [10.2.0.0/16] } ]\n");
    const auto refused = here_.gateway->reload("test");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, Refusal::Kind::invalid);
    ASSERT_EQ(refused.error().faults.size(), 1u);
    EXPECT_EQ(refused.error().faults[0].file, path("20-wrong.yaml"));
    EXPECT_NE(refused.error().faults[0].message.find("(see " + here_.config_path + ":"), std::string::npos);
    std::filesystem::remove(path("20-wrong.yaml"));
    std::filesystem::create_symlink("nowhere", path("30-gone.yaml"));
    EXPECT_EQ(here_.gateway->reload("test").error().kind, Refusal::Kind::failed);
    EXPECT_FALSE(files_have_changed(here_.reader->now()));
    EXPECT_EQ(view()->desired_revision, 1u);
    EXPECT_EQ(here_.kernel->writes, writes);
    EXPECT_FALSE(find_opening(*here_.store, here_.config_path));
}

TEST_F(FragmentsTest, AnObjectOfOneIsChangedThere) {
    start();
    const auto refused = here_.gateway->delete_object(model::Kind::vpcs, "other", "test");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "VPC \"other\" is declared in " + path("10-more.yaml") +
                                           ": change it there, then run `sallyport reload`");
    EXPECT_NE(here_.gateway->delete_object(model::Kind::vpcs, "main", "test")
                  .error()
                  .message.find("declared in " + here_.config_path + ":"),
              std::string::npos);
    ASSERT_TRUE(
        here_.gateway->create_object(model::Kind::vpcs, R"({"name":"of-api","cidrs":["10.8.0.0/16"]})", "t"));
    EXPECT_EQ((*here_.store->newest())->document.fragments.size(), 1u)
        << "the other half of the revision stays";
}

TEST_F(FragmentsTest, ApplyTakesWhatItIsGiven) {
    start();
    ASSERT_TRUE(here_.gateway->apply({{"x.yaml", configuration()}}, "test"));
    EXPECT_EQ(vpcs(), 1u);
    EXPECT_EQ(view()->files, (std::vector<std::string>{"x.yaml"}));
    const config::Sources both{
        {"x.yaml", configuration()},
        {"y.yaml", "api_version: sallyport/v1\nvpcs: [ { name: y, cidrs: [10.9.0.0/16] } ]\n"}};
    EXPECT_EQ(plan_for(here_.reader->now(), both)->changes.size(), 1u);
    ASSERT_TRUE(here_.gateway->apply(both, "test"));
    EXPECT_EQ(vpcs(), 2u);
    EXPECT_FALSE(*files_have_changed(here_.reader->now())) << "they are as they were read";
}

TEST_F(GatewayTest, TellsOfNewRevisionsAndWhatTheyChanged) {
    start();
    int told = 0;
    here_.gateway->follow_revisions([&] {
        ++told;
        EXPECT_EQ(view()->applied_revision, view()->desired_revision);
    });
    EXPECT_TRUE(view()->has_changed(0, model::Kind::vpcs));
    EXPECT_FALSE(view()->has_changed(1, model::Kind::vpcs));
    EXPECT_FALSE(view()->has_changed(1, {}));
    EXPECT_TRUE(view()->has_changed(2, {})) << "a revision that never was";
    ASSERT_TRUE(here_.gateway->apply({{"same.yaml", configuration()}}, "test"));
    EXPECT_EQ(told, 0);
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-2")}}, "test"));
    EXPECT_EQ(told, 1);
    EXPECT_TRUE(view()->has_changed(1, model::Kind::nat_gateways));
    EXPECT_FALSE(view()->has_changed(1, model::Kind::elastic_ips));
    start();
    EXPECT_TRUE(view()->has_changed(1, model::Kind::elastic_ips)) << "not known any more";
    EXPECT_FALSE(view()->has_changed(2, model::Kind::nat_gateways));
}

TEST_F(GatewayTest, ReloadReadsTheFileAgain) {
    start();
    here_.write_config(configuration("eip-2"));
    const auto reloaded = here_.gateway->reload("test");
    ASSERT_TRUE(reloaded);
    EXPECT_EQ(reloaded->revision, 2u);
    EXPECT_EQ((*here_.store->newest())->source, store::Source::reload);
    here_.write_config("nonsense");
    EXPECT_EQ(here_.gateway->reload("test").error().kind, Refusal::Kind::invalid);
    std::filesystem::remove(here_.config_path);
    EXPECT_EQ(here_.gateway->reload("test").error().kind, Refusal::Kind::failed);
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_TRUE(view()->ready());
}

// Notes what it is asked for.
class AccessForTest final : public ApiAccess {
  public:
    Result<std::function<void()>> prepare(const config::ApiSettings& settings) override {
        if (refuse) return failure("open /etc/sallyport/tokens: no such file");
        return [this, settings] { in_force.push_back(settings); };
    }
    bool refuse = false;
    std::vector<config::ApiSettings> in_force;
};

constexpr const char* api_section = "api: { listen: 127.0.0.1:8443, insecure_loopback: true }\n";

TEST_F(GatewayTest, AReloadIsWhatTheApiIsReachedBy) {
    start();
    AccessForTest access;
    here_.gateway->follow_api_settings(access, {});
    here_.write_config(configuration("eip-1", api_section));
    const auto reloaded = here_.gateway->reload("alice");
    ASSERT_TRUE(reloaded);
    EXPECT_TRUE(reloaded->changes.empty());
    ASSERT_EQ(access.in_force.size(), 1u);
    EXPECT_TRUE(access.in_force[0].insecure_loopback);
    // Files that the section names may have changed: each reload looks.
    ASSERT_TRUE(here_.gateway->reload("alice"));
    EXPECT_EQ(access.in_force.size(), 2u);
}

TEST_F(GatewayTest, AReloadThatTheApiCannotFollowChangesNothing) {
    start();
    AccessForTest access;
    access.refuse = true;
    here_.gateway->follow_api_settings(access, {});
    here_.write_config(configuration("eip-1, eip-2", api_section));
    const auto reloaded = here_.gateway->reload("alice");
    ASSERT_FALSE(reloaded);
    EXPECT_EQ(reloaded.error().kind, Refusal::Kind::invalid);
    ASSERT_EQ(reloaded.error().faults.size(), 1u);
    EXPECT_NE(reloaded.error().faults[0].message.find("tokens"), std::string::npos);
    EXPECT_EQ(here_.gateway->view()->desired_revision, 1u);
    EXPECT_TRUE(access.in_force.empty());
}

TEST_F(GatewayTest, ApplyAndRollbackLeaveTheApiAloneAndSaySo) {
    start();
    AccessForTest access;
    here_.gateway->follow_api_settings(access, {});
    const auto applied = here_.gateway->apply({{"new", configuration("eip-1, eip-2", api_section)}}, "alice");
    ASSERT_TRUE(applied);
    EXPECT_EQ(std::ranges::count_if(applied->warnings,
                                    [](const std::string& text) { return text.starts_with("new: api: "); }),
              1);
    ASSERT_TRUE(here_.gateway->rollback({}, "alice"));
    EXPECT_TRUE(access.in_force.empty());
    // The one that is in force is no news.
    here_.gateway->follow_api_settings(
        access, {.listen = Endpoint{Ipv4Address(127, 0, 0, 1), 8443}, .insecure_loopback = true});
    const auto same = here_.gateway->apply({{"new", configuration("eip-1, eip-2", api_section)}}, "alice");
    ASSERT_TRUE(same);
    EXPECT_TRUE(std::ranges::none_of(same->warnings,
                                     [](const std::string& text) { return text.starts_with("new: api: "); }));
}

TEST_F(GatewayTest, AnOpeningHasTheApiOfTheFileWhateverIsTheNewestRevision) {
    here_.write_config(configuration("eip-1", api_section));
    ASSERT_TRUE(here_.start());
    ASSERT_TRUE(here_.gateway->apply({{"new", configuration("eip-1, eip-2")}}, "alice"));
    const auto opening = find_opening(*here_.store, here_.config_path);
    ASSERT_TRUE(opening);
    EXPECT_FALSE(opening->from_file);
    ASSERT_TRUE(opening->api);
    EXPECT_TRUE(opening->api->insecure_loopback);
}

TEST_F(GatewayTest, AnApplyOutlivesARestartUntilTheFileChanges) {
    start();
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test"));
    start();
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(elastic_ips_in_use(), 2u);
    here_.write_config(configuration("eip-2"));
    start();
    EXPECT_EQ(view()->desired_revision, 3u);
    EXPECT_EQ(elastic_ips_in_use(), 1u);
}

TEST_F(GatewayTest, ANewCommentInTheFileDoesNotUndoALaterApply) {
    start();
    here_.write_config(configuration("eip-1", "# a comment\n"));
    ASSERT_TRUE(here_.gateway->reload("test"));
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test"));
    start();
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(elastic_ips_in_use(), 2u);
}

TEST_F(GatewayTest, WhatIsNotConfirmedInTimeIsRolledBack) {
    start();
    const auto applied = here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s);
    ASSERT_TRUE(applied) << applied.error().message;
    ASSERT_TRUE(applied->confirmation);
    EXPECT_EQ(applied->confirmation->revision, 2u);
    EXPECT_EQ(applied->confirmation->fallback, 1u);
    EXPECT_EQ(view()->confirmation, applied->confirmation);
    // Nothing else is taken meanwhile.
    EXPECT_EQ(here_.gateway->apply({{"other.yaml", configuration("eip-2")}}, "test").error().kind,
              Refusal::Kind::conflict);
    EXPECT_EQ(here_.gateway->reload("test").error().kind, Refusal::Kind::conflict);
    here_.clock.advance(59s);
    here_.gateway->tick();
    EXPECT_EQ(elastic_ips_in_use(), 2u);
    here_.clock.advance(2s);
    here_.gateway->tick();
    EXPECT_EQ(elastic_ips_in_use(), 1u);
    EXPECT_EQ(view()->desired_revision, 3u);
    EXPECT_EQ(view()->applied_revision, 3u);
    EXPECT_FALSE(view()->confirmation);
    EXPECT_FALSE(*here_.store->confirmation());
    EXPECT_TRUE(logged("revision 2 was not confirmed in time and is rolled back"));
    EXPECT_TRUE(here_.gateway->apply({{"other.yaml", configuration("eip-2")}}, "test"));
}

TEST_F(GatewayTest, WhatIsConfirmedStays) {
    start();
    EXPECT_EQ(here_.gateway->confirm("test").error().kind, Refusal::Kind::conflict);
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s));
    EXPECT_EQ(here_.gateway->confirm("test")->revision, 2u);
    here_.clock.advance(3600s);
    here_.gateway->tick();
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(elastic_ips_in_use(), 2u);
    EXPECT_EQ(here_.gateway->confirm("test").error().kind, Refusal::Kind::conflict);
}

// It is the store that a confirmation is kept in, so the kernel's trouble does not make it untold.
TEST_F(GatewayTest, WhatIsConfirmedWhileTheKernelRefusesIsToldAgain) {
    start();
    here_.kernel->writes_left = 0;
    EXPECT_EQ(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s).error().kind,
              Refusal::Kind::not_applied);
    const Repeatable<Confirmed> request{{"key", "request"},
                                        [](const Confirmed& done) { return std::to_string(done.revision); }};
    EXPECT_EQ(here_.gateway->confirm("test", request)->revision, 2u);
    const auto again = here_.gateway->confirm("test", request);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->replayed, "2");
}

TEST_F(GatewayTest, AConfirmationIsAwaitedAcrossRestarts) {
    for (const bool in_time : {true, false}) {
        start();
        const std::uint64_t before = view()->desired_revision;
        ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s));
        here_.clock.advance(in_time ? 30s : 90s);
        start();
        EXPECT_EQ(view()->confirmation.has_value(), in_time);
        EXPECT_EQ(elastic_ips_in_use(), in_time ? 2u : 1u);
        here_.clock.advance(31s);
        here_.gateway->tick();
        EXPECT_EQ(elastic_ips_in_use(), 1u);
        EXPECT_EQ(view()->desired_revision, before + 2);
        EXPECT_EQ(view()->applied_revision, before + 2);
        EXPECT_FALSE(view()->confirmation);
    }
}

TEST_F(GatewayTest, DetachingLeavesNothingToConfirm) {
    start();
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s));
    ASSERT_TRUE(here_.gateway->detach("test"));
    here_.clock.advance(120s);
    here_.gateway->tick();
    EXPECT_TRUE(view()->detached);
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_FALSE(*here_.store->confirmation());
}

TEST_F(GatewayTest, RollbackAppliesAnEarlierRevisionAgain) {
    start();
    EXPECT_EQ(here_.gateway->rollback({}, "test").error().kind, Refusal::Kind::conflict);
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test"));
    ASSERT_TRUE(here_.gateway->apply({{"newer.yaml", configuration("eip-2")}}, "test"));
    const auto back = here_.gateway->rollback(1, "test");
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->revision, 4u);
    EXPECT_EQ((*here_.store->newest())->document, (*here_.store->find(1))->document);
    EXPECT_EQ((*here_.store->newest())->audit, "test, back to revision 1");
    const auto undone = here_.gateway->rollback({}, "test");
    ASSERT_TRUE(undone);
    EXPECT_EQ((*here_.store->newest())->document, (*here_.store->find(3))->document);
    EXPECT_EQ(here_.gateway->rollback(77, "test").error().kind, Refusal::Kind::missing);
    EXPECT_EQ(here_.gateway->rollback(5, "test")->revision, 5u) << "nothing to change";
    // An operator need not wait for the time to be over.
    ASSERT_TRUE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test", 60s));
    ASSERT_TRUE(here_.gateway->rollback({}, "test"));
    EXPECT_FALSE(view()->confirmation);
    EXPECT_EQ((*here_.store->newest())->document, (*here_.store->find(5))->document);
}

TEST_F(GatewayTest, AWrongFileAtStartIsRefusedAndTheKernelLeftAlone) {
    start();
    const std::uint64_t writes = here_.kernel->writes;
    here_.write_config(configuration("eip-9"));
    const auto started = here_.start();
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().kind, Refusal::Kind::invalid);
    EXPECT_EQ(here_.kernel->writes, writes);
    EXPECT_EQ(here_.kernel->links.size(), 2u);
    EXPECT_EQ(here_.store->history(10)->size(), 1u);
}

TEST_F(GatewayTest, AKernelThatRefusesIsShownAndTriedAgainUntilItWorks) {
    start();
    here_.kernel->writes_left = 0;
    const auto applied = here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test");
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().kind, Refusal::Kind::not_applied);
    EXPECT_EQ(view()->desired_revision, 2u);
    EXPECT_EQ(view()->applied_revision, 1u);
    EXPECT_TRUE(view()->error);
    EXPECT_FALSE(view()->ready());
    EXPECT_EQ(*here_.store->applied_revision(), 1u);
    EXPECT_TRUE(logged("is not in force"));

    here_.kernel->writes_left.reset();
    here_.gateway->tick();
    EXPECT_TRUE(view()->error) << "not before its time";
    here_.clock.advance(1s);
    here_.gateway->tick();
    EXPECT_FALSE(view()->error);
    EXPECT_EQ(view()->applied_revision, 2u);
    EXPECT_EQ(*here_.store->applied_revision(), 2u);
    EXPECT_EQ(elastic_ips_in_use(), 2u);
}

TEST_F(GatewayTest, TriesAreMadeLessAndLessOften) {
    start();
    here_.kernel->writes_left = 0;
    ASSERT_FALSE(here_.gateway->apply({{"new.yaml", configuration("eip-1, eip-2")}}, "test"));
    const std::size_t lines = here_.log.lines.size();
    for (int i = 0; i < 600; ++i) {
        here_.clock.advance(1s);
        here_.gateway->tick();
    }
    EXPECT_LT(here_.log.lines.size(), lines + 3) << "the same failure is told once";
    here_.kernel->writes_left.reset();
    here_.clock.advance(30s);
    here_.gateway->tick();
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
}

TEST_F(GatewayTest, DetachEndsForwardingUntilReload) {
    start();
    const auto detached = here_.gateway->detach("test");
    ASSERT_TRUE(detached);
    EXPECT_EQ(detached->devices, (std::vector<std::string>{"lan0", "wan0"}));
    EXPECT_TRUE(here_.kernel->links.empty());
    EXPECT_FALSE(view()->ready());
    // Nothing of the upkeep may bring it back.
    here_.netlink.put_neighbour({3, Ipv4Address(198, 51, 100, 254), MacAddress({2, 0, 0, 0, 0, 9}),
                                 netlink::NeighbourState::reachable});
    here_.gateway->on_network_events();
    here_.gateway->sweep_slice();
    here_.clock.advance(60s);
    here_.gateway->tick();
    EXPECT_TRUE(here_.kernel->links.empty());
    EXPECT_FALSE(here_.kernel->prepared);
    EXPECT_TRUE(here_.gateway->detach("test")->devices.empty());

    const auto reloaded = here_.gateway->reload("test");
    ASSERT_TRUE(reloaded) << reloaded.error().message;
    EXPECT_EQ(reloaded->revision, 1u);
    EXPECT_EQ(here_.kernel->links.size(), 2u);
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
}

TEST_F(GatewayTest, ADeviceThatFailsIsNamedAndTheOthersWork) {
    here_.kernel->broken_devices = {"wan0"};
    start();
    EXPECT_FALSE(view()->ready());
    EXPECT_NE(view()->why_not_ready().find("wan0"), std::string::npos) << view()->why_not_ready();
    EXPECT_EQ(here_.kernel->links.size(), 1u);
}

TEST_F(GatewayTest, GenericModeIsTold) {
    here_.kernel->devices_without_native = {"lan0"};
    start();
    EXPECT_TRUE(view()->ready()) << view()->why_not_ready();
    EXPECT_TRUE(logged("lan0 in generic mode"));
    EXPECT_FALSE(view()->device("lan0")->fallback_reason.empty());
}

TEST_F(GatewayTest, NeighboursReachTheTables) {
    start();
    here_.netlink.put_neighbour({3, Ipv4Address(198, 51, 100, 254), MacAddress({2, 0, 0, 0, 0, 9}),
                                 netlink::NeighbourState::reachable});
    here_.gateway->on_network_events();
    EXPECT_TRUE(here_.kernel->tables.next_hops.contains({3, Ipv4Address(198, 51, 100, 254)}));
}

}  // namespace
}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "control/port_block_log.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>

#include "dataplane/memory_dataplane.h"
#include "store/sqlite_store.h"

namespace sallyport::control {
namespace {

using namespace std::chrono_literals;
using dataplane::PortBlock;
using dataplane::PortBlockEvent;

class PortBlockLogTest : public testing::Test {
  protected:
    PortBlockLogTest() {
        EXPECT_TRUE(dataplane_.prepare(1024));
        clock_.advance(100s);
        use_names("egress");
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    static std::filesystem::path new_folder() {
        std::string pattern = testing::TempDir() + "/port-blocks-XXXXXX";
        if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
        return pattern;
    }
    void use_names(const std::string& nat_gateway) {
        auto view = std::make_shared<View>();
        view->names.vpcs[1] = "main";
        if (!nat_gateway.empty()) view->names.nat_gateways[7] = nat_gateway;
        view_ = view;
    }
    static PortBlock block(std::uint16_t first, std::uint8_t host) {
        return {Ipv4Address(198, 51, 100, 10),
                {first, static_cast<std::uint16_t>(first + 511)},
                Ipv4Address(10, 0, 1, host),
                1,
                7};
    }
    void allocate(const PortBlock& one) {
        kernel_->port_blocks.push_back(one);
        tell(one, PortBlockEvent::Happening::allocated);
    }
    void release(const PortBlock& one) {
        std::erase(kernel_->port_blocks, one);
        tell(one, PortBlockEvent::Happening::released);
    }
    void tell(const PortBlock& one, PortBlockEvent::Happening happening) {
        kernel_->port_block_events.push_back(
            {static_cast<std::uint64_t>(clock_.monotonic().count()), one, happening});
    }
    std::vector<store::PortBlockRecord> who(std::uint16_t port) {
        return *store_->port_blocks(Ipv4Address(198, 51, 100, 10), port, clock_.wall() - 1h, clock_.wall());
    }
    void run_sql(const char* sql) const {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open((folder_ / "sallyport.db").c_str(), &database), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
            << sqlite3_errmsg(database);
        sqlite3_close(database);
    }

    const std::filesystem::path folder_ = new_folder();
    std::shared_ptr<dataplane::MemoryKernel> kernel_ = std::make_shared<dataplane::MemoryKernel>();
    dataplane::MemoryDataplane dataplane_{kernel_};
    std::unique_ptr<store::SqliteStore> store_ =
        std::move(*store::SqliteStore::open(folder_ / "sallyport.db"));
    ManualClock clock_;
    MemoryLog log_;
    std::shared_ptr<const View> view_;
    PortBlockLog blocks_{{dataplane_, *store_, clock_, log_}, [this] { return view_; }};
};

TEST_F(PortBlockLogTest, NotesAndTellsWhatHappenedWithTheNamesOfTheTime) {
    allocate(block(2048, 5));
    clock_.advance(10s);
    release(block(2048, 5));
    clock_.advance(10s);
    blocks_.poll();
    const auto records = who(2100);
    ASSERT_EQ(records.size(), 1u);
    EXPECT_EQ(records[0].instance, Ipv4Address(10, 0, 1, 5));
    EXPECT_EQ(records[0].vpc, "main");
    EXPECT_EQ(records[0].nat_gateway, "egress");
    EXPECT_EQ(records[0].from, clock_.wall() - 20s);
    EXPECT_EQ(records[0].until, clock_.wall() - 10s);
    EXPECT_EQ(log_.lines,
              (std::vector<std::string>{
                  "port block 198.51.100.10:2048-2559 allocated to 10.0.1.5 (vpc main, nat_gateway egress)",
                  "port block 198.51.100.10:2048-2559 released by 10.0.1.5 (vpc main, nat_gateway egress)"}));
}

TEST_F(PortBlockLogTest, AnEventOfBeforeAChangeHasTheNameThatWentWithIt) {
    blocks_.poll();
    allocate(block(2048, 5));
    use_names("");
    blocks_.poll();
    EXPECT_EQ(who(2048)[0].nat_gateway, "egress");
    allocate(block(2560, 5));
    blocks_.poll();
    EXPECT_EQ(who(2560)[0].nat_gateway, "");
    EXPECT_EQ(log_.lines.back(),
              "port block 198.51.100.10:2560-3071 allocated to 10.0.1.5 (vpc main, nat_gateway unknown)");
}

TEST_F(PortBlockLogTest, WhatNoEventToldOfIsFoundByComparing) {
    allocate(block(2048, 5));
    allocate(block(2560, 6));
    allocate(block(3072, 7));
    blocks_.compare();
    EXPECT_EQ(log_.lines.size(), 3u) << "nothing was missing";

    kernel_->port_blocks = {block(2560, 6), block(2048, 8), block(3584, 9)};
    clock_.advance(60s);
    blocks_.compare();
    EXPECT_EQ(who(2048)[0].instance, Ipv4Address(10, 0, 1, 8));
    EXPECT_EQ(who(2048)[0].from, clock_.wall());
    EXPECT_EQ(who(2048)[1].until, clock_.wall());
    EXPECT_EQ(who(2560).size(), 1u);
    EXPECT_EQ(who(2560)[0].until, std::nullopt);
    EXPECT_EQ(who(3072)[0].until, clock_.wall());
    EXPECT_EQ(who(3584)[0].instance, Ipv4Address(10, 0, 1, 9));
    EXPECT_EQ(log_.lines.back(),
              "port blocks: 2 recorded as released and 2 as allocated now, of which no event told");
    const std::size_t told = log_.lines.size();
    blocks_.compare();
    EXPECT_EQ(log_.lines.size(), told);
}

TEST_F(PortBlockLogTest, WithThePinnedStateAllBlocksAreGone) {
    allocate(block(2048, 5));
    blocks_.poll();
    ASSERT_TRUE(dataplane_.detach_all());
    clock_.advance(10s);
    blocks_.compare();
    EXPECT_EQ(who(2048)[0].until, clock_.wall());
}

TEST_F(PortBlockLogTest, ComparesNowAndThenByItself) {
    allocate(block(2560, 5));
    blocks_.tick();
    kernel_->port_blocks = {block(2048, 5)};
    clock_.advance(PortBlockLog::compared_every - 1s);
    blocks_.tick();
    EXPECT_TRUE(who(2048).empty());
    clock_.advance(1s);
    blocks_.tick();
    EXPECT_EQ(who(2048).size(), 1u);
    EXPECT_EQ(who(2560)[0].until, clock_.wall());
}

TEST_F(PortBlockLogTest, DoesNotSearchATableForBlocksThatNobodyHas) {
    blocks_.tick();
    kernel_->port_blocks = {block(2048, 5)};  // as no kernel would: with neither an event nor a start
    clock_.advance(PortBlockLog::compared_every);
    blocks_.tick();
    EXPECT_TRUE(who(2048).empty());
    allocate(block(2560, 6));
    blocks_.tick();
    EXPECT_EQ(who(2048).size(), 1u);
}

TEST_F(PortBlockLogTest, AStoreThatFailsIsToldOnceAndWrittenLater) {
    run_sql("ALTER TABLE port_blocks RENAME TO gone");
    for (std::uint8_t host = 5; host < 8; ++host) {
        allocate(block(static_cast<std::uint16_t>(2048 + 512 * host), host));
        blocks_.poll();
        blocks_.compare();
    }
    EXPECT_EQ(std::count_if(log_.lines.begin(), log_.lines.end(),
                            [](const std::string& line) { return line.find("trying again") != line.npos; }),
              1);
    EXPECT_EQ(blocks_.lost(), 0u);
    run_sql("ALTER TABLE gone RENAME TO port_blocks");
    blocks_.tick();
    EXPECT_EQ(store_->allocated_port_blocks()->size(), 3u);
    EXPECT_EQ(log_.lines.back(), "port blocks can be noted again");
}

TEST_F(PortBlockLogTest, WhatWaitsForAStoreThatFailsIsBounded) {
    run_sql("ALTER TABLE port_blocks RENAME TO gone");
    for (std::size_t i = 0; i < PortBlockLog::most_waiting + 2; ++i) allocate(block(2048, 5));
    blocks_.poll();
    EXPECT_EQ(blocks_.lost(), 2u);
    blocks_.poll();
    EXPECT_EQ(blocks_.lost(), 2u);
}

}  // namespace
}  // namespace sallyport::control

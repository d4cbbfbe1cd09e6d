// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/file.h"

namespace sallyport::store {
namespace {

using std::chrono::system_clock;

NewRevision revision_of(std::string document, Source source = Source::apply) {
    NewRevision revision;
    revision.time = system_clock::time_point{std::chrono::seconds{1700000000}};
    revision.source = source;
    revision.document_name = "gateway.yaml";
    revision.document = std::move(document);
    revision.changes = {R"({"kind":"vpcs"})", R"({"kind":"subnets"})"};
    revision.audit = "apply by uid 0";
    return revision;
}

class SqliteStoreTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = testing::TempDir() + "/store-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
        path_ = folder_ / "sallyport.db";
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    std::unique_ptr<SqliteStore> open() const {
        auto store = SqliteStore::open(path_);
        EXPECT_TRUE(store) << store.error().message;
        return store ? std::move(*store) : nullptr;
    }
    void run_sql(const char* sql) const {
        sqlite3* database = nullptr;
        ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(database, sql, nullptr, nullptr, nullptr), SQLITE_OK)
            << sqlite3_errmsg(database);
        sqlite3_close(database);
    }

    std::int64_t number_from(const char* sql) const {
        sqlite3* database = nullptr;
        sqlite3_stmt* statement = nullptr;
        EXPECT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
        EXPECT_EQ(sqlite3_prepare_v2(database, sql, -1, &statement, nullptr), SQLITE_OK);
        EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW) << sqlite3_errmsg(database);
        const std::int64_t number = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
        sqlite3_close(database);
        return number;
    }

    std::filesystem::path folder_;
    std::filesystem::path path_;
};

TEST_F(SqliteStoreTest, ANewStoreIsEmpty) {
    const auto store = open();
    EXPECT_FALSE(store->newest()->has_value());
    EXPECT_EQ(*store->applied_revision(), 0u);
    EXPECT_EQ(*store->loaded_file_hash(), "");
    EXPECT_TRUE(store->history(10)->empty());
}

TEST_F(SqliteStoreTest, ACommitSurvivesReopeningByteForByte) {
    const std::string document("a: 1\n\0b: \xc3\xa4\n", 12);
    EXPECT_EQ(*open()->commit(revision_of(document)), 1u);
    const auto newest = open()->newest();
    ASSERT_TRUE(newest && newest->has_value());
    const Revision& revision = **newest;
    EXPECT_EQ(revision.number, 1u);
    EXPECT_EQ(revision.document, document);
    EXPECT_EQ(revision.document_hash, digest(document));
    EXPECT_EQ(revision.document_name, "gateway.yaml");
    EXPECT_EQ(revision.source, Source::apply);
    EXPECT_EQ(revision.audit, "apply by uid 0");
    EXPECT_EQ(revision.change_list,
              (std::vector<std::string>{R"({"kind":"vpcs"})", R"({"kind":"subnets"})"}));
    EXPECT_EQ(revision.time, system_clock::time_point{std::chrono::seconds{1700000000}});
}

TEST_F(SqliteStoreTest, RevisionsCountUpAndTheHistoryBeginsWithTheNewest) {
    const auto store = open();
    EXPECT_EQ(*store->commit(revision_of("one", Source::file)), 1u);
    EXPECT_EQ(*store->commit(revision_of("two")), 2u);
    EXPECT_EQ(*store->commit(revision_of("three", Source::reload)), 3u);
    const auto history = store->history(2);
    ASSERT_EQ(history->size(), 2u);
    EXPECT_EQ((*history)[0].number, 3u);
    EXPECT_EQ((*history)[0].source, Source::reload);
    EXPECT_EQ((*history)[0].changes, 2u);
    EXPECT_EQ((*history)[1].number, 2u);
    EXPECT_EQ((*store->find(1))->document, "one");
    EXPECT_FALSE(store->find(9)->has_value());
}

TEST_F(SqliteStoreTest, OnlyWhatCameFromTheFileIsTheLoadedFile) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one", Source::file)));
    ASSERT_TRUE(store->commit(revision_of("two", Source::apply)));
    EXPECT_EQ(*store->loaded_file_hash(), digest("one"));
    ASSERT_TRUE(store->commit(revision_of("three", Source::reload)));
    EXPECT_EQ(*store->loaded_file_hash(), digest("three"));
    ASSERT_TRUE(store->set_loaded_file_hash(digest("four")));
    EXPECT_EQ(*open()->loaded_file_hash(), digest("four"));
}

TEST_F(SqliteStoreTest, TheAppliedRevisionMustExist) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one")));
    ASSERT_TRUE(store->set_applied_revision(1));
    EXPECT_FALSE(store->set_applied_revision(7));
    EXPECT_EQ(*open()->applied_revision(), 1u);
    ASSERT_TRUE(store->set_applied_revision(0));
    EXPECT_EQ(*store->applied_revision(), 0u);
}

TEST_F(SqliteStoreTest, OnlyTheNewestRevisionsAreKept) {
    auto store = std::move(*SqliteStore::open(":memory:"));
    for (std::size_t i = 0; i < revisions_kept; ++i) ASSERT_TRUE(store->commit(revision_of("one")));
    EXPECT_TRUE(store->find(1)->has_value());
    EXPECT_EQ(*store->commit(revision_of("two")), revisions_kept + 1);
    EXPECT_FALSE(store->find(1)->has_value());
    EXPECT_TRUE(store->find(2)->has_value());
    EXPECT_EQ((*store->newest())->number, revisions_kept + 1);
    const auto history = store->history(2 * revisions_kept);
    ASSERT_EQ(history->size(), revisions_kept);
    EXPECT_EQ(history->back().number, 2u);
    EXPECT_EQ(history->back().changes, 2u);
}

TEST_F(SqliteStoreTest, WhatAForgottenRevisionChangedIsForgottenToo) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one")));
    run_sql(
        "INSERT INTO revisions SELECT 5000, time_us, source, document_name, document, document_hash, "
        "audit FROM revisions");
    ASSERT_EQ((*store->find(1))->changes, 2u);
    ASSERT_TRUE(store->commit(revision_of("next")));
    EXPECT_EQ(number_from("SELECT count(*) FROM changes WHERE revision = 1"), 0);
    EXPECT_EQ(number_from("SELECT count(*) FROM revisions"), 2);
}

TEST_F(SqliteStoreTest, TheAppliedRevisionIsKeptHoweverOldItIs) {
    auto store = std::move(*SqliteStore::open(":memory:"));
    ASSERT_TRUE(store->commit(revision_of("applied")));
    ASSERT_TRUE(store->set_applied_revision(1));
    for (std::size_t i = 0; i <= revisions_kept; ++i) ASSERT_TRUE(store->commit(revision_of("next")));
    EXPECT_EQ((*store->find(1))->document, "applied");
    EXPECT_EQ((*store->find(1))->changes, 2u);
    EXPECT_FALSE(store->find(2)->has_value());
    ASSERT_TRUE(store->set_applied_revision(revisions_kept + 2));
    ASSERT_TRUE(store->commit(revision_of("last")));
    EXPECT_FALSE(store->find(1)->has_value());
}

TEST_F(SqliteStoreTest, NobodyElseMayReadIt) {
    open();
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST_F(SqliteStoreTest, AFileThatIsNoDatabaseIsRefusedAndKept) {
    const std::string garbage(8192, 'x');
    std::ofstream(path_) << garbage;
    const auto store = SqliteStore::open(path_);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("move it away"), std::string::npos) << store.error().message;
    EXPECT_EQ(*read_file(path_), garbage);
}

TEST_F(SqliteStoreTest, ADamagedDatabaseIsRefused) {
    ASSERT_TRUE(open()->commit(revision_of(std::string(100000, 'd'))));
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(12000, '\x5a');
    file.close();
    EXPECT_FALSE(SqliteStore::open(path_));
}

TEST_F(SqliteStoreTest, ANewerLayoutIsRefusedAndKept) {
    ASSERT_TRUE(open()->commit(revision_of("one")));
    const std::int64_t own = number_from("PRAGMA user_version");
    run_sql("PRAGMA user_version = 99");
    const auto store = SqliteStore::open(path_);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("newer version"), std::string::npos) << store.error().message;
    run_sql(("PRAGMA user_version = " + std::to_string(own)).c_str());
    EXPECT_TRUE(open()->newest()->has_value());
}

TEST_F(SqliteStoreTest, AnOlderLayoutIsBroughtUpToDate) {
    ASSERT_TRUE(open()->commit(revision_of("one")));
    run_sql("DROP TABLE confirmation; PRAGMA user_version = 1");
    auto store = open();
    EXPECT_EQ((*store->newest())->document, "one");
    EXPECT_FALSE(*store->confirmation());
}

TEST_F(SqliteStoreTest, WhatAwaitsConfirmationIsKeptWithItsRevision) {
    const std::chrono::system_clock::time_point deadline{std::chrono::microseconds{1'700'000'000'000'007}};
    ASSERT_TRUE(open()->commit(revision_of("one")));
    NewRevision awaiting = revision_of("two");
    awaiting.confirmation = Confirmation{0, 1, deadline};
    ASSERT_EQ(*open()->commit(awaiting), 2u);
    EXPECT_EQ(**open()->confirmation(), (Confirmation{2, 1, deadline}));
    ASSERT_TRUE(open()->clear_confirmation());
    EXPECT_FALSE(*open()->confirmation());
    ASSERT_TRUE(open()->commit(awaiting));
    ASSERT_TRUE(open()->commit(revision_of("three"))) << "takes its place";
    EXPECT_FALSE(*open()->confirmation());
}

TEST_F(SqliteStoreTest, AnotherProgramsDatabaseIsRefused) {
    run_sql("CREATE TABLE songs (title TEXT)");
    const auto store = SqliteStore::open(path_);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("another program"), std::string::npos) << store.error().message;
}

TEST_F(SqliteStoreTest, AnUnwritablePlaceIsAnErrorThatNamesIt) {
    const auto store = SqliteStore::open(folder_ / "missing" / "sallyport.db");
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("missing/sallyport.db"), std::string::npos);
}

TEST(SqliteStoreInMemory, ServesAsFake) {
    auto store = SqliteStore::open(":memory:");
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_EQ(*(*store)->commit(revision_of("one")), 1u);
}

TEST(Digest, IsSha256) {
    EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace sallyport::store

// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "core/file.h"

namespace sallyport::store {
namespace {

using std::chrono::system_clock;

NewRevision revision_of(std::string document, Source source = Source::apply) {
    NewRevision revision;
    revision.time = system_clock::time_point{std::chrono::seconds{1700000000}};
    revision.source = source;
    revision.document = Document{"gateway.yaml", std::move(document)};
    revision.changes = {R"({"kind":"vpcs"})", R"({"kind":"subnets"})"};
    revision.audit = "apply by uid 0";
    return revision;
}

NewRevision api_change(std::vector<ObjectChange> objects) {
    NewRevision revision = revision_of({}, Source::api);
    revision.document.reset();
    revision.objects = std::move(objects);
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
    EXPECT_EQ(revision.document, (Document{"gateway.yaml", document}));
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
    const auto earlier = store->history_before(3, 1);
    ASSERT_EQ(earlier->size(), 1u);
    EXPECT_EQ((*earlier)[0].number, 2u);
    EXPECT_TRUE(store->history_before(1, 5)->empty());
    EXPECT_EQ(store->history_before(99, 5)->size(), 3u);
    EXPECT_EQ((*store->find(1))->document.text, "one");
    EXPECT_FALSE(store->find(9)->has_value());
}

TEST_F(SqliteStoreTest, FragmentsAreKeptByteForByteAndInOrder) {
    const auto store = open();
    NewRevision revision = revision_of("one", Source::file);
    revision.document->fragments = {
        {"d/b.yaml", std::string("b\0c", 3)}, {"d/a.yaml", "one"}, {"d/c.yaml", ""}};
    ASSERT_TRUE(store->commit(revision));
    EXPECT_EQ((*open()->newest())->document, revision.document);
    EXPECT_EQ(*store->loaded_file_hash(), digest(*revision.document));
    ASSERT_TRUE(store->commit(revision_of("two")));
    EXPECT_TRUE((*store->newest())->document.fragments.empty());
    EXPECT_EQ((*store->find(1))->document, revision.document);
    run_sql("UPDATE texts SET text = 'x' WHERE text = ''");
    const auto damaged = store->find(1);
    ASSERT_FALSE(damaged);
    EXPECT_NE(damaged.error().message.find("damaged"), std::string::npos);
}

TEST_F(SqliteStoreTest, ARevisionWithoutADocumentHasTheFragmentsOfTheOneBefore) {
    const auto store = open();
    NewRevision revision = revision_of("one");
    revision.document->fragments = {{"d/a.yaml", "first"}, {"d/b.yaml", "second"}};
    ASSERT_TRUE(store->commit(revision));
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "a", "{}"}})));
    EXPECT_EQ((*store->newest())->document, revision.document);
    EXPECT_EQ(number_from("SELECT count(*) FROM texts"), 3);
    NewRevision read_again = api_change({{"vpcs", "a"}});
    read_again.source = Source::reload;
    ASSERT_TRUE(store->commit(read_again));
    EXPECT_EQ(*store->loaded_file_hash(), digest(*revision.document));
}

TEST_F(SqliteStoreTest, TextsOfFragmentsGoWithTheLastRevisionThatHasThem) {
    const auto store = open();
    NewRevision revision = revision_of("one");
    revision.document->fragments = {{"d/a.yaml", "first"}};
    ASSERT_TRUE(store->commit(revision));
    revision.document->fragments = {{"d/a.yaml", "second"}};
    for (std::size_t i = 0; i < revisions_kept; ++i) ASSERT_TRUE(store->commit(revision));
    EXPECT_EQ(number_from("SELECT count(*) FROM texts WHERE text = 'first'"), 0);
    EXPECT_EQ(number_from("SELECT count(*) FROM texts WHERE text = 'second'"), 1);
    EXPECT_EQ(number_from("SELECT count(*) FROM fragments"), static_cast<std::int64_t>(revisions_kept));
}

TEST(Digest, OfFilesTellsEverySetApart) {
    const std::vector<Fragment> none, one{{"a", "b"}}, renamed{{"b", "b"}}, other{{"a", "c"}},
        two{{"a", "b"}, {"c", "d"}}, swapped{{"c", "d"}, {"a", "b"}};
    EXPECT_EQ(digest(Document{"name", "text", none}), digest("text"));
    std::set<std::string> all;
    for (const auto& set : {none, one, renamed, other, two, swapped})
        all.insert(digest(Document{"name", "text", set}));
    EXPECT_EQ(all.size(), 6u);
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
        "INSERT INTO revisions SELECT 5000, time_us, source, document_name, document_hash, objects_digest, "
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
    EXPECT_EQ((*store->find(1))->document.text, "applied");
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

TEST_F(SqliteStoreTest, WhatAwaitsConfirmationIsKeptWithItsRevision) {
    const std::chrono::system_clock::time_point deadline{std::chrono::microseconds{1'700'000'000'000'007}};
    ASSERT_TRUE(open()->commit(revision_of("one")));
    NewRevision awaiting = revision_of("two");
    awaiting.confirmation = Confirmation{0, 1, deadline};
    ASSERT_EQ(*open()->commit(awaiting), 2u);
    EXPECT_EQ(**open()->confirmation(), (Confirmation{2, 1, deadline}));
    ASSERT_TRUE(open()->clear_confirmation({}));
    EXPECT_FALSE(*open()->confirmation());
    ASSERT_TRUE(open()->commit(awaiting));
    ASSERT_TRUE(open()->commit(revision_of("three"))) << "takes its place";
    EXPECT_FALSE(*open()->confirmation());
}

TEST_F(SqliteStoreTest, DrainsAreKeptByElasticIp) {
    const std::chrono::system_clock::time_point started{std::chrono::microseconds{1'700'000'000'000'007}};
    Drain one{"eip-1", started, {}, "uid 0"},
        two{"eip-2", started, started + std::chrono::seconds{30}, "uid 7"};
    ASSERT_TRUE(open()->set_drain(two, {}));
    ASSERT_TRUE(open()->set_drain(one, {}));
    EXPECT_EQ(*open()->drains(), (std::vector{one, two}));
    one.deadline = started + std::chrono::seconds{90};
    ASSERT_TRUE(open()->set_drain(one, {})) << "takes its place";
    EXPECT_EQ(*open()->drains(), (std::vector{one, two}));
    ASSERT_TRUE(open()->clear_drain("eip-1"));
    ASSERT_TRUE(open()->clear_drain("eip-1"));
    EXPECT_EQ(*open()->drains(), std::vector{two});
}

TEST_F(SqliteStoreTest, WhatWasAnsweredIsKeptWithWhatItDidOrNeitherIs) {
    const std::chrono::system_clock::time_point now{std::chrono::microseconds{1'700'000'000'000'007}};
    const Drain drain{"eip-1", now, {}, "uid 0"};
    const Answered drained{{"key-1", digest("drain"), "drain"}, now};
    const Answered confirmed{{"key-2", digest("confirm"), "confirm"}, now};
    ASSERT_TRUE(open()->commit(revision_of("one")));
    NewRevision awaiting = revision_of("two");
    awaiting.confirmation = Confirmation{0, 1, now};
    ASSERT_TRUE(open()->commit(awaiting));

    run_sql("CREATE TRIGGER full BEFORE INSERT ON idempotency BEGIN SELECT raise(ABORT, 'disk full'); END");
    EXPECT_FALSE(open()->set_drain(drain, drained));
    EXPECT_FALSE(open()->clear_confirmation(confirmed));
    EXPECT_TRUE(open()->drains()->empty());
    EXPECT_TRUE(*open()->confirmation());

    run_sql("DROP TRIGGER full");
    ASSERT_TRUE(open()->set_drain(drain, drained));
    ASSERT_TRUE(open()->clear_confirmation(confirmed));
    EXPECT_EQ(*open()->drains(), std::vector{drain});
    EXPECT_FALSE(*open()->confirmation());
    EXPECT_EQ(*open()->idempotency_record("key-1", now), drained.record);
    EXPECT_EQ(*open()->idempotency_record("key-2", now), confirmed.record);
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

// The layouts of released versions, step by step.
constexpr std::array layouts{
    "CREATE TABLE revisions (number INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,"
    " source TEXT NOT NULL CHECK (source IN ('file', 'apply', 'reload')), document_name TEXT NOT NULL,"
    " document TEXT NOT NULL, document_hash TEXT NOT NULL, audit TEXT NOT NULL) STRICT;"
    "CREATE TABLE changes (revision INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, change TEXT NOT NULL, PRIMARY KEY (revision, position)) STRICT, WITHOUT "
    "ROWID;"
    "CREATE TABLE progress (only INTEGER PRIMARY KEY CHECK (only = 1),"
    " applied_revision INTEGER REFERENCES revisions (number), loaded_file_hash TEXT NOT NULL) STRICT;"
    "INSERT INTO progress (only, applied_revision, loaded_file_hash) VALUES (1, NULL, '');"
    "PRAGMA application_id = 1397772884; PRAGMA user_version = 1",
    "CREATE TABLE confirmation (only INTEGER PRIMARY KEY CHECK (only = 1),"
    " revision INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,"
    " fallback INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,"
    " deadline_us INTEGER NOT NULL) STRICT; PRAGMA user_version = 2",
    "CREATE TABLE port_blocks (number INTEGER PRIMARY KEY, elastic_ip TEXT NOT NULL,"
    " first_port INTEGER NOT NULL, last_port INTEGER NOT NULL, instance TEXT NOT NULL, vpc TEXT NOT NULL,"
    " nat_gateway TEXT NOT NULL, from_us INTEGER NOT NULL, until_us INTEGER) STRICT;"
    "CREATE INDEX port_blocks_by_port ON port_blocks (elastic_ip, first_port);"
    "CREATE INDEX port_blocks_allocated ON port_blocks (elastic_ip, first_port) WHERE until_us IS NULL;"
    "CREATE INDEX port_blocks_in_order_of_going ON port_blocks (until_us IS NULL, number);"
    "PRAGMA user_version = 3",
};

TEST_F(SqliteStoreTest, AStoreOfAnOlderLayoutIsBroughtUpToDateWithWhatIsInIt) {
    ASSERT_TRUE(open()->commit(revision_of("one")));
    const std::int64_t own = number_from("PRAGMA user_version");
    for (std::size_t steps = 1; steps <= layouts.size(); ++steps) {
        for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
        for (std::size_t step = 0; step < steps; ++step) run_sql(layouts.at(step));
        const std::string rows = "INSERT INTO revisions VALUES (1, 1000000, 'file', 'a.yaml', 'one', '" +
                                 digest("one") + "', 'start'), (2, 2000000, 'apply', 'b.yaml', 'two', '" +
                                 digest("two") + "', 'uid 0'), (3, 3000000, 'apply', 'a.yaml', 'one', '" +
                                 digest("one") +
                                 "', 'uid 0'); INSERT INTO changes VALUES (2, 0, 'x'), (2, 1, 'y');"
                                 "UPDATE progress SET applied_revision = 2, loaded_file_hash = 'hash'";
        run_sql(rows.c_str());
        if (steps >= 2) run_sql("INSERT INTO confirmation VALUES (1, 3, 2, 4000000)");

        const auto store = open();
        ASSERT_NE(store, nullptr);
        EXPECT_EQ((*store->newest())->document.text, "one");
        const auto second = *store->find(2);
        ASSERT_TRUE(second);
        EXPECT_EQ(second->document, (Document{"b.yaml", "two"}));
        EXPECT_TRUE(second->objects.empty());
        EXPECT_EQ(second->change_list, (std::vector<std::string>{"x", "y"}));
        EXPECT_EQ(*store->applied_revision(), 2u);
        EXPECT_EQ(*store->loaded_file_hash(), "hash");
        EXPECT_EQ(store->confirmation()->has_value(), steps >= 2);
        EXPECT_TRUE(store->allocated_port_blocks()->empty());
        EXPECT_EQ(number_from("PRAGMA user_version"), own);

        // What refers to the revisions still does.
        EXPECT_FALSE(store->set_applied_revision(7));
        NewRevision next = revision_of("three", Source::api);
        next.objects = {{"vpcs", "a", "{}"}};
        EXPECT_EQ(*store->commit(next), 4u);
        EXPECT_EQ((*open()->newest())->objects, (std::vector<ObjectText>{{"vpcs", "a", "{}"}}));
    }
}

// The layout that came after the others: all objects of a revision were one text.
constexpr const char* layout_4 =
    "CREATE TABLE texts (hash TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;"
    "CREATE TABLE revisions_with_objects (number INTEGER PRIMARY KEY, time_us INTEGER NOT NULL,"
    " source TEXT NOT NULL CHECK (source IN ('file', 'apply', 'reload', 'api')), document_name TEXT NOT NULL,"
    " document_hash TEXT NOT NULL REFERENCES texts (hash), objects_hash TEXT NOT NULL REFERENCES texts "
    "(hash),"
    " audit TEXT NOT NULL) STRICT; DROP TABLE revisions;"
    "ALTER TABLE revisions_with_objects RENAME TO revisions;"
    "CREATE TABLE idempotency (number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, time_us INTEGER NOT "
    "NULL,"
    " request_hash TEXT NOT NULL, answer TEXT NOT NULL) STRICT;"
    "CREATE INDEX idempotency_by_time ON idempotency (time_us); PRAGMA user_version = 4";

TEST_F(SqliteStoreTest, ObjectsOfAnOlderLayoutAreKeptOneByOne) {
    for (const char* layout : layouts) run_sql(layout);
    run_sql(layout_4);
    const std::vector<std::string> objects{"{}",
                                           R"({"vpcs":[{"name":"b","x":1},{"name":"a"}]})",
                                           R"({"vpcs":[{"name":"b","x":2},{"name":"a"}]})",
                                           R"({"subnets":[{"name":"b"}],"vpcs":[{"name":"b","x":2}]})",
                                           "{}",
                                           R"({"vpcs":[{"name":"b","x":1},{"name":"a"}]})"};
    const auto keep = [&](const std::string& text) {
        run_sql(("INSERT OR IGNORE INTO texts VALUES ('" + digest(text) + "', '" + text + "')").c_str());
    };
    keep("one");
    for (std::size_t i = 0; i < objects.size(); ++i) {
        keep(objects[i]);
        // Older revisions are gone but for the one that is applied.
        const std::size_t number = i == 0 ? 1 : i + 20;
        run_sql(("INSERT INTO revisions VALUES (" + std::to_string(number) + ", 1000000, 'api', 'a.yaml', '" +
                 digest("one") + "', '" + digest(objects[i]) + "', 'start')")
                    .c_str());
    }
    run_sql("UPDATE progress SET applied_revision = 1");

    const auto store = open();
    ASSERT_NE(store, nullptr);
    using Objects = std::vector<ObjectText>;
    const ObjectText a{"vpcs", "a", R"({"name":"a"})"}, b1{"vpcs", "b", R"({"name":"b","x":1})"},
        b2{"vpcs", "b", R"({"name":"b","x":2})"};
    EXPECT_EQ((*store->find(1))->objects, Objects{});
    EXPECT_EQ((*store->find(21))->objects, (Objects{a, b1}));
    EXPECT_EQ((*store->find(22))->objects, (Objects{a, b2}));
    EXPECT_EQ((*store->find(23))->objects, (Objects{{"subnets", "b", R"({"name":"b"})"}, b2}));
    EXPECT_EQ((*store->find(24))->objects, Objects{});
    EXPECT_EQ((*store->newest())->objects, (Objects{a, b1}));
    EXPECT_EQ((*store->newest())->document.text, "one");
    EXPECT_EQ(number_from("SELECT count(*) FROM texts"), 1) << "the lists are gone";
    EXPECT_EQ(number_from("SELECT count(*) FROM objects"), 6);
    NewRevision next = api_change({{"vpcs", "a"}});
    EXPECT_EQ(*store->commit(next), 26u);
    EXPECT_EQ((*open()->newest())->objects, (Objects{b1}));
}

TEST_F(SqliteStoreTest, AStoreOfTheLayoutBeforeFragmentsTakesThem) {
    NewRevision revision = revision_of("one");
    ASSERT_TRUE(open()->commit(revision));
    run_sql("DROP TABLE fragments; PRAGMA user_version = 6");
    revision.document->fragments = {{"d/a.yaml", "first"}};
    const auto store = open();
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(number_from("PRAGMA user_version"), 7);
    EXPECT_TRUE((*store->newest())->document.fragments.empty());
    ASSERT_TRUE(store->commit(revision));
    EXPECT_EQ((*store->newest())->document, revision.document);
}

TEST_F(SqliteStoreTest, DamagedObjectsOfAnOlderLayoutAreRefusedAndKept) {
    for (const char* layout : layouts) run_sql(layout);
    run_sql(layout_4);
    run_sql(("INSERT INTO texts VALUES ('" + digest("one") + "', 'one'), ('x', '{}')").c_str());
    run_sql(
        ("INSERT INTO revisions VALUES (1, 1000000, 'api', 'a.yaml', '" + digest("one") + "', 'x', 'start')")
            .c_str());
    const auto store = SqliteStore::open(path_);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("the objects of revision 1 are damaged"), std::string::npos)
        << store.error().message;
    EXPECT_EQ(number_from("PRAGMA user_version"), 4);
}

TEST_F(SqliteStoreTest, ObjectsAreKeptForAsLongAsTheyStayAsTheyAre) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one")));
    const auto commit = [&](const std::vector<ObjectChange>& changes) {
        const auto number = store->commit(api_change(changes));
        ASSERT_TRUE(number) << number.error().message;
    };
    commit({{"vpcs", "a", "1"}, {"subnets", "a", "1"}, {"vpcs", "b", "1"}});
    commit({{"vpcs", "a", "2"}});
    commit({{"vpcs", "a"}});
    commit({{"vpcs", "a", "1"}, {"vpcs", "none"}});
    using Objects = std::vector<ObjectText>;
    const ObjectText subnet{"subnets", "a", "1"}, b{"vpcs", "b", "1"};
    EXPECT_EQ((*store->find(1))->objects, Objects{});
    EXPECT_EQ((*store->find(2))->objects, (Objects{subnet, {"vpcs", "a", "1"}, b}));
    EXPECT_EQ((*store->find(3))->objects, (Objects{subnet, {"vpcs", "a", "2"}, b}));
    EXPECT_EQ((*store->find(4))->objects, (Objects{subnet, b}));
    EXPECT_EQ((*store->newest())->objects, (Objects{subnet, {"vpcs", "a", "1"}, b}));
    EXPECT_EQ((*store->newest())->document, (*store->find(1))->document);
    EXPECT_EQ((*store->history(1))[0].source, Source::api);
    EXPECT_EQ(*store->loaded_file_hash(), "") << "it was not read";
    EXPECT_EQ(number_from("SELECT count(*) FROM texts"), 1);
    EXPECT_EQ(number_from("SELECT count(*) FROM objects"), 5);

    for (const char* damage :
         {"UPDATE objects SET text = '3' WHERE name = 'b'", "DELETE FROM objects WHERE name = 'b'",
          "UPDATE objects SET until = 5 WHERE name = 'b'"}) {
        run_sql("CREATE TABLE saved AS SELECT * FROM objects");
        run_sql(damage);
        EXPECT_FALSE(store->newest()) << damage;
        EXPECT_TRUE(store->find(1));
        run_sql("DELETE FROM objects; INSERT INTO objects SELECT * FROM saved; DROP TABLE saved");
        EXPECT_TRUE(store->newest());
    }
}

TEST_F(SqliteStoreTest, ObjectsGoWithTheirLastRevision) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one")));
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "a", "1"}, {"vpcs", "b", "1"}})));
    ASSERT_TRUE(store->set_applied_revision(2));
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "a", "2"}})));
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "a", "3"}})));
    run_sql(
        "INSERT INTO revisions SELECT 5000, time_us, source, document_name, document_hash, objects_digest, "
        "audit FROM revisions WHERE number = 4");
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "b"}})));
    // The second is kept, because it is in force; the others are not.
    using Objects = std::vector<ObjectText>;
    EXPECT_EQ((*store->find(2))->objects, (Objects{{"vpcs", "a", "1"}, {"vpcs", "b", "1"}}));
    EXPECT_EQ((*store->find(5000))->objects, (Objects{{"vpcs", "a", "3"}, {"vpcs", "b", "1"}}));
    EXPECT_EQ((*store->newest())->objects, (Objects{{"vpcs", "a", "3"}}));
    EXPECT_EQ(number_from("SELECT count(*) FROM objects"), 3) << "a = 2 belongs to none";
    ASSERT_TRUE(store->set_applied_revision(5001));
    ASSERT_TRUE(store->commit(api_change({{"vpcs", "a"}})));
    EXPECT_EQ(number_from("SELECT count(*) FROM objects"), 2);
}

TEST_F(SqliteStoreTest, AChangeOfTheApiNeedsARevisionBeforeIt) {
    const auto store = open();
    EXPECT_FALSE(store->commit(api_change({{"vpcs", "a", "1"}})));
    EXPECT_FALSE(*store->newest());
    EXPECT_EQ(number_from("SELECT count(*) FROM objects"), 0);
}

TEST_F(SqliteStoreTest, AWriteThatFailsHalfwayChangesNothing) {
    const auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one")));
    // A bound on the size of files stands for the disk's.
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit little{200000, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
    const auto refused = store->commit(revision_of(std::string(1000000, 'x')));
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_FALSE(refused);
    EXPECT_EQ((*store->newest())->document.text, "one");
    EXPECT_EQ(store->history(10)->size(), 1u);
    EXPECT_EQ(*store->commit(revision_of(std::string(1000000, 'x'))), 2u) << "there is space again";
    EXPECT_EQ((*open()->newest())->document.text.size(), 1000000u);
}

// What decision 0011 is about: the cost of a change is that of the object.
TEST_F(SqliteStoreTest, AChangeWritesTheObjectAndNotTheOthers) {
    const auto bytes_of_a_change = [&](int objects) {
        for (const char* suffix : {"", "-wal", "-shm"}) std::filesystem::remove(path_.string() + suffix);
        auto store = open();
        NewRevision first = revision_of(std::string(1000000, 'x'));
        for (int i = 0; i < objects; ++i)
            first.objects.push_back({"instances", "i" + std::to_string(i), std::string(150, 'y')});
        EXPECT_TRUE(store->commit(first));
        store.reset();  // the log is taken into the file
        store = open();
        EXPECT_TRUE(store->commit(api_change({{"instances", "i7", "z"}})));
        return std::filesystem::file_size(path_.string() + "-wal");
    };
    const auto few = bytes_of_a_change(10), many = bytes_of_a_change(20000);
    EXPECT_LE(many, 2 * few);
    EXPECT_LE(many, 100000U);
}

TEST_F(SqliteStoreTest, WhatWasAnsweredToAKeyIsKeptForADay) {
    NewRevision revision = revision_of("one", Source::api);
    const IdempotencyRecord record{"key-1", digest("request"), "answer"};
    revision.answered = {record, revision.time};
    ASSERT_TRUE(open()->commit(revision));
    const auto store = open();
    EXPECT_EQ(*store->idempotency_record("key-1", revision.time), record);
    EXPECT_FALSE(*store->idempotency_record("key-2", revision.time));
    EXPECT_FALSE(store->commit(revision)) << "a key names one request";
    EXPECT_EQ((*store->newest())->number, 1u) << "record and revision are one transaction";

    const auto later = revision.time + idempotency_records_kept_for;
    EXPECT_TRUE(*store->idempotency_record("key-1", later - std::chrono::seconds{1}));
    EXPECT_FALSE(*store->idempotency_record("key-1", later));
    revision.time = revision.answered->now = later;
    EXPECT_TRUE(store->commit(revision)) << "the key is free again";
    EXPECT_EQ(number_from("SELECT count(*) FROM idempotency"), 1);
}

TEST_F(SqliteStoreTest, WhatWasAnsweredWithoutARevisionIsKeptToo) {
    const NewRevision revision = revision_of("one");
    const IdempotencyRecord record{"key-1", digest("request"), "answer"};
    ASSERT_TRUE(open()->remember({record, revision.time}));
    const auto store = open();
    EXPECT_EQ(*store->idempotency_record("key-1", revision.time), record);
    EXPECT_FALSE(store->remember({record, revision.time})) << "a key names one request";
    EXPECT_FALSE(*store->newest());
}

TEST_F(SqliteStoreTest, AReaderSeesWhatIsCommittedAndWaitsForNobody) {
    auto store = open();
    ASSERT_TRUE(store->commit(revision_of("one", Source::file)));
    auto reader = SqliteStore::open_reader(path_);
    ASSERT_TRUE(reader) << reader.error().message;
    EXPECT_EQ((*reader)->history_before(INT64_MAX, 10)->size(), 1U);
    EXPECT_EQ(*(*reader)->loaded_file_hash(), *store->loaded_file_hash());

    sqlite3* writer = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &writer), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(writer, "BEGIN IMMEDIATE; DELETE FROM revisions", nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sqlite3_errmsg(writer);
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_EQ((*reader)->history_before(INT64_MAX, 10)->size(), 1U) << "what is under way is not there yet";
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds{1});
    ASSERT_EQ(sqlite3_exec(writer, "ROLLBACK", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(writer);

    ASSERT_TRUE(store->commit(revision_of("two")));
    const auto both = (*reader)->history_before(INT64_MAX, 10);
    ASSERT_EQ(both->size(), 2U);
    EXPECT_EQ(both->front().number, 2U);
    PortBlockRecord block;
    block.elastic_ip = Ipv4Address(198, 51, 100, 10);
    block.ports = {1024, 1151};
    block.from = system_clock::time_point{std::chrono::seconds{1700000000}};
    ASSERT_TRUE(store->note_port_blocks(std::array{block}));
    EXPECT_EQ((*reader)->port_blocks(block.elastic_ip, 1030, block.from, block.from)->size(), 1U);
}

TEST_F(SqliteStoreTest, AReaderNeedsAStore) {
    EXPECT_FALSE(SqliteStore::open_reader(path_));
    EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(SqliteStoreTest, RecordsOfKeysAreBoundedInNumber) {
    const auto store = open();
    run_sql(("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
             std::to_string(idempotency_records_kept) +
             ") INSERT INTO idempotency SELECT i, 'key-' || i, 1700000000000000, 'r', 'a' FROM n")
                .c_str());
    NewRevision revision = revision_of("one", Source::api);
    revision.answered = {IdempotencyRecord{"new", "r", "a"}, revision.time};
    ASSERT_TRUE(store->commit(revision));
    EXPECT_EQ(number_from("SELECT count(*) FROM idempotency"),
              static_cast<std::int64_t>(idempotency_records_kept));
    EXPECT_FALSE(*store->idempotency_record("key-1", revision.time));
    EXPECT_TRUE(*store->idempotency_record("key-2", revision.time));
    EXPECT_TRUE(*store->idempotency_record("new", revision.time));
}

TEST_F(SqliteStoreTest, WhatCannotBeNotedOfPortBlocksIsUndone) {
    const auto store = open();
    ASSERT_TRUE(store->note_port_blocks(std::vector{PortBlockRecord{}}));
    EXPECT_TRUE(store->commit(revision_of("one")));
    run_sql("DROP TABLE port_blocks");
    EXPECT_FALSE(store->note_port_blocks(std::vector{PortBlockRecord{}}));
    EXPECT_FALSE(store->port_blocks(Ipv4Address(), 1, {}, {}));
    EXPECT_TRUE(store->commit(revision_of("two"))) << "not within what failed";
}

// Of both: the file, and the store in memory that stands for it above.
class PortBlockContract : public SqliteStoreTest, public testing::WithParamInterface<bool> {
  protected:
    void SetUp() override {
        SqliteStoreTest::SetUp();
        store_ = GetParam() ? std::move(*SqliteStore::open(":memory:")) : open();
    }
    void TearDown() override {
        store_ = nullptr;
        SqliteStoreTest::TearDown();
    }

    static system_clock::time_point at(int second) {
        return system_clock::time_point{std::chrono::seconds{1700000000 + second}};
    }
    static PortBlockRecord allocated(int second, std::uint16_t first, std::uint8_t host,
                                     std::uint16_t size = 512, std::uint8_t elastic_ip = 10) {
        PortBlockRecord record;
        record.elastic_ip = Ipv4Address(198, 51, 100, elastic_ip);
        record.ports = {first, static_cast<std::uint16_t>(first + size - 1)};
        record.instance = Ipv4Address(10, 0, 1, host);
        record.vpc = "main";
        record.nat_gateway = "egress";
        record.from = at(second);
        return record;
    }
    static PortBlockRecord released(PortBlockRecord record, int second) {
        record.until = at(second);
        return record;
    }
    void note(const std::vector<PortBlockRecord>& changes) {
        const Result<void> noted = store_->note_port_blocks(changes);
        ASSERT_TRUE(noted) << noted.error().message;
    }
    std::vector<PortBlockRecord> who(std::uint16_t port, int second) {
        const auto records = store_->port_blocks(Ipv4Address(198, 51, 100, 10), port, at(second), at(second));
        EXPECT_TRUE(records) << records.error().message;
        return records.value_or(std::vector<PortBlockRecord>{});
    }
    using Records = std::vector<PortBlockRecord>;

    std::unique_ptr<SqliteStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, PortBlockContract, testing::Values(false, true),
                         [](const auto& which) { return which.param ? "memory" : "file"; });

TEST_P(PortBlockContract, APortIsFoundInItsBlockAtItsTime) {
    const PortBlockRecord first = allocated(10, 2048, 5);
    note({first, allocated(10, 2560, 6), allocated(10, 2048, 7, 512, 11)});
    for (const std::uint16_t port : std::array<std::uint16_t, 3>{2048, 2300, 2559})
        EXPECT_EQ(who(port, 10), Records{first}) << port;
    EXPECT_TRUE(who(2047, 10).empty());
    EXPECT_EQ(who(2560, 10)[0].instance, Ipv4Address(10, 0, 1, 6));
    EXPECT_TRUE(who(2048, 9).empty()) << "before it was allocated";
    EXPECT_EQ(who(2048, 1000), Records{first}) << "it still is";

    note({released(first, 20)});
    EXPECT_EQ(who(2048, 20), Records{released(first, 20)});
    EXPECT_TRUE(who(2048, 21).empty());
    EXPECT_EQ(store_->allocated_port_blocks()->size(), 2u);
}

TEST_P(PortBlockContract, ThoseWhoHadAPortOneAfterTheOtherComeNewestFirst) {
    const PortBlockRecord first = allocated(10, 2048, 5), second = allocated(30, 2048, 6);
    note({first, released(first, 20), second, released(second, 40)});
    const auto between = store_->port_blocks(Ipv4Address(198, 51, 100, 10), 2100, at(15), at(35));
    EXPECT_EQ(*between, (Records{released(second, 40), released(first, 20)}));
    EXPECT_EQ(who(2100, 15), Records{released(first, 20)});
    EXPECT_TRUE(who(2100, 25).empty());
}

TEST_P(PortBlockContract, TheLargestBlockIsFoundByItsLastPort) {
    const PortBlockRecord block = allocated(10, 4096, 5, largest_port_block);
    note({block});
    EXPECT_EQ(who(8191, 10), Records{block});
    EXPECT_TRUE(who(8192, 10).empty());
    const PortBlockRecord highest = allocated(10, 61440, 5, largest_port_block);
    note({highest});
    EXPECT_EQ(who(65535, 10), Records{highest});
    EXPECT_TRUE(who(0, 10).empty());
}

TEST_P(PortBlockContract, AnAllocationEndsWhatItOverlapsWhereTheReleaseWasLost) {
    const PortBlockRecord small = allocated(10, 2048, 5, 64), other = allocated(10, 2560, 6);
    const PortBlockRecord large = allocated(30, 2048, 7);
    note({small, other, large});
    EXPECT_EQ(who(2050, 30), (Records{large, released(small, 30)}));
    EXPECT_EQ(who(2050, 31), Records{large});
    EXPECT_EQ(who(2560, 31), Records{other}) << "its neighbour";
    const PortBlockRecord again = allocated(40, 2304, 5, 64);
    note({again});
    EXPECT_EQ(who(2304, 41), Records{again}) << "within the larger one";
}

TEST_P(PortBlockContract, TheSameAllocationTwiceIsOneFromTheFirstOn) {
    note({allocated(30, 2048, 5), allocated(20, 2048, 5), allocated(40, 2048, 5)});
    EXPECT_EQ(who(2048, 50), Records{allocated(20, 2048, 5)});
    PortBlockRecord elsewhere =
        allocated(60, 2048, 5);  // the same address in another VPC is another instance
    elsewhere.vpc = "lab";
    note({elsewhere});
    EXPECT_EQ(who(2048, 61), Records{elsewhere});
}

TEST_P(PortBlockContract, AReleaseOfWhatIsNotKnownChangesNothing) {
    note({released(allocated(10, 2048, 5), 20)});
    EXPECT_TRUE(who(2048, 15).empty());
    const PortBlockRecord other = allocated(10, 2048, 6);
    note({other, released(allocated(10, 2048, 5), 20)});
    EXPECT_EQ(who(2048, 30), Records{other});
    note({released(other, 5)});  // the clock was set back
    EXPECT_EQ(who(2048, 10), Records{released(other, 10)});
}

TEST_P(PortBlockContract, TheNewestAreKeptAndOfTheRestThoseThatAreAllocated) {
    const PortBlockRecord standing = allocated(0, 61440, 5);
    const PortBlockRecord first = allocated(1, 2048, 6);
    Records many{standing, first, released(first, 2)};
    for (int i = 1; i < static_cast<int>(port_block_records_kept) - 1; ++i) {
        const PortBlockRecord next = allocated(10 * i, 4096, 7);
        many.push_back(next);
        many.push_back(released(next, 10 * i + 5));
    }
    note(many);
    EXPECT_EQ(who(2048, 1).size(), 1u);
    const PortBlockRecord last = allocated(9'999'999, 4096, 8);
    note({last});
    EXPECT_TRUE(who(2048, 1).empty()) << "the oldest that is not allocated";
    EXPECT_EQ(who(61440, 1), Records{standing});
    EXPECT_EQ(who(4096, 12).size(), 1u);
    EXPECT_EQ(who(4096, 10'000'000), Records{last});

    Records holding;
    for (std::size_t i = 0; i < port_block_records_kept; ++i) {
        PortBlockRecord one = allocated(20'000'000, 2048, 9);
        one.elastic_ip = Ipv4Address(static_cast<std::uint32_t>(0xcb000000 + i));
        holding.push_back(one);
    }
    note(holding);
    EXPECT_EQ(store_->allocated_port_blocks()->size(), port_block_records_kept) << "then these go too";
    EXPECT_TRUE(who(61440, 1).empty());
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

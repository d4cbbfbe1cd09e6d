// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/layout.h"
#include "store/sqlite_statement.h"

namespace sallyport::store {

namespace {

// The columns that read_revision() reads.
constexpr std::string_view select_revisions =
    "SELECT number, time_us, source, document_name, text, document_hash, objects_digest, audit FROM "
    "revisions "
    "JOIN texts ON hash = document_hash ";

// Tells one set of objects from another, in hexadecimal, whatever their order. It follows a change of one
// object without a look at the others.
class ObjectsDigest {
  public:
    ObjectsDigest() = default;
    explicit ObjectsDigest(std::string text) : text_(std::move(text)) {}
    [[nodiscard]] const std::string& text() const { return text_; }

    // Puts in an object that is not in it, and takes out one that is.
    void toggle(std::string_view kind, std::string_view name, std::string_view text) {
        const std::string one = digest(fmt::format("{}\n{}\n{}", kind, name, text));
        if (text_.size() != one.size()) text_.assign(one.size(), '0');
        for (std::size_t i = 0; i < one.size(); ++i)
            text_[i] = "0123456789abcdef"[value_of(text_[i]) ^ value_of(one[i])];
    }

  private:
    static std::size_t value_of(char digit) {
        return static_cast<std::size_t>(digit >= 'a' ? digit - 'a' + 10 : digit - '0') & 15U;
    }

    std::string text_ = std::string(64, '0');
};

// By kind and name; nothing where the text is not what versions 4 and 5 of the layout kept.
std::optional<std::map<std::pair<std::string, std::string>, std::string>> objects_in(
    const std::string& text) {
    const auto root = nlohmann::json::parse(text, nullptr, false);
    if (!root.is_object()) return std::nullopt;
    std::map<std::pair<std::string, std::string>, std::string> objects;
    for (const auto& [kind, list] : root.items()) {
        if (!list.is_array()) return std::nullopt;
        for (const auto& object : list) {
            std::string name = object.is_object() ? object.value("name", std::string()) : std::string();
            if (name.empty()) return std::nullopt;
            objects[{kind, std::move(name)}] = object.dump();
        }
    }
    return objects;
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::connect(const std::string& path, int flags) {
    sqlite3* opened = nullptr;
    const int status = sqlite3_open_v2(
        path.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE | flags,
        nullptr);
    std::unique_ptr<sqlite3, Close> database(opened);
    if (status != SQLITE_OK) {
        return failure(fmt::format("open the revision history {}: {}", path,
                                   database ? sqlite3_errmsg(database.get()) : "out of memory"));
    }
    sqlite3_busy_timeout(database.get(), 2000);
    return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(database)));
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
    const auto refuse = [&path](const std::string& why) {
        return failure(
            fmt::format("open the revision history {}: {}. Nothing was changed and forwarding "
                        "goes on. Restore the file from a backup, or move it away to start with an "
                        "empty history",
                        path, why));
    };
    // The history holds documents of the operator: nobody else needs to read them.
    const mode_t previous_mask = umask(0077);
    auto connected = connect(path, SQLITE_OPEN_CREATE);
    umask(previous_mask);
    if (!connected) return connected;
    std::unique_ptr<SqliteStore> store = *std::move(connected);
    // A step of migration may replace a table that others refer to, and what refers to it stays.
    for (const char* sql : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
                            "PRAGMA foreign_keys = OFF", "PRAGMA trusted_schema = OFF"}) {
        if (Result<void> done = store->execute(sql); !done) return refuse(done.error().message);
    }
    Statement check(store->database_.get(), "PRAGMA quick_check(1)");
    const Result<bool> checked = check.step();
    if (!checked) return refuse(checked.error().message);
    if (*checked && check.text(0) != "ok") return refuse("it is damaged: " + check.text(0));
    check.reset();
    if (Result<void> migrated = store->migrate(); !migrated) return refuse(migrated.error().message);
    if (Result<void> done = store->execute("PRAGMA foreign_keys = ON"); !done)
        return refuse(done.error().message);
    return store;
}

Result<std::unique_ptr<StoreReader>> SqliteStore::open_reader(const std::string& path) {
    // A reader waits for no writer, but for the moment in which a connection begins or ends.
    auto store = connect(path, 0);
    if (!store) return tl::unexpected(store.error());
    for (const char* sql : {"PRAGMA query_only = ON", "PRAGMA trusted_schema = OFF"}) {
        if (Result<void> done = (*store)->execute(sql); !done) return tl::unexpected(done.error());
    }
    return *std::move(store);
}

Result<void> SqliteStore::execute(const char* sql) {
    if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
        return failure(sqlite3_errmsg(database_.get()));
    }
    return {};
}

Result<void> SqliteStore::migrate() {
    Transaction transaction(*this);
    if (!transaction.begun()) return transaction.begun();
    const auto read_number = [this](const char* sql) -> Result<std::int64_t> {
        Statement statement(database_.get(), sql);
        const Result<bool> stepped = statement.step();
        if (!stepped) return tl::unexpected(stepped.error());
        return statement.integer(0);
    };
    const Result<std::int64_t> version = read_number("PRAGMA user_version");
    if (!version) return tl::unexpected(version.error());
    const Result<std::int64_t> owner = read_number("PRAGMA application_id");
    if (!owner) return tl::unexpected(owner.error());
    const Result<std::int64_t> tables = read_number("SELECT count(*) FROM sqlite_schema");
    if (!tables) return tl::unexpected(tables.error());

    const bool empty = *version == 0 && *owner == 0 && *tables == 0;
    if (!empty && *owner != application_id) return failure("it is the database of another program");
    if (*version < 0 || static_cast<std::size_t>(*version) > layout_steps().size()) {
        return failure(
            fmt::format("its layout has version {}, and this agent knows up to {}: it was written by "
                        "a newer version of Sallyport",
                        *version, layout_steps().size()));
    }
    for (auto step = static_cast<std::size_t>(*version); step < layout_steps().size(); ++step) {
        if (Result<void> done = execute(layout_steps()[step]); !done) {
            return failure_within(fmt::format("bring its layout to version {}", step + 1), done.error());
        }
        if (step + 1 != objects_apart) continue;
        if (Result<void> done = keep_objects_apart(); !done) {
            return failure_within(fmt::format("bring its layout to version {}", step + 1), done.error());
        }
    }
    const std::string mark = fmt::format("PRAGMA user_version = {}; PRAGMA application_id = {}",
                                         layout_steps().size(), application_id);
    if (static_cast<std::size_t>(*version) != layout_steps().size()) {
        if (Result<void> done = execute(mark.c_str()); !done) return done;
        Statement check(database_.get(), "PRAGMA foreign_key_check");
        const Result<bool> dangling = check.step();
        if (!dangling) return tl::unexpected(dangling.error());
        if (*dangling) return failure(fmt::format("a row of its table {} refers to nothing", check.text(0)));
    }
    return transaction.commit();
}

Result<std::uint64_t> SqliteStore::commit(const NewRevision& revision) {
    const auto within = [this](const Error& error) -> tl::unexpected<Error> {
        if ((sqlite3_errcode(database_.get()) & 0xff) != SQLITE_FULL)
            return failure_within("commit a revision", error);
        return failure(
            fmt::format(
                "there is no space left for the revision history {}: nothing was changed. Make some, and "
                "do it again",
                sqlite3_db_filename(database_.get(), "main")),
            ENOSPC);
    };
    Transaction transaction(*this);
    if (!transaction.begun()) return within(transaction.begun().error());

    Statement newest(database_.get(),
                     "SELECT number, document_name, document_hash, objects_digest FROM revisions "
                     "ORDER BY number DESC LIMIT 1");
    const Result<bool> one_before = newest.step();
    if (!one_before) return within(one_before.error());
    if (!*one_before && !revision.document)
        return within({"there is no revision before it that has a document", 0});
    const std::int64_t number = *one_before ? newest.integer(0) + 1 : 1;
    const std::string document_name = revision.document ? revision.document->name : newest.text(1);
    const std::string hash = revision.document ? digest(revision.document->text) : newest.text(2);
    ObjectsDigest objects_digest;
    if (*one_before) objects_digest = ObjectsDigest(newest.text(3));
    newest.reset();
    if (revision.document) {
        if (Result<void> done = keep_text(hash, revision.document->text); !done) return within(done.error());
    }
    for (const ObjectChange& change : revision.objects) {
        const Result<std::string> before = end_object(change.kind, change.name, number);
        if (!before) return within(before.error());
        if (!before->empty()) objects_digest.toggle(change.kind, change.name, *before);
        if (!change.text) continue;
        const Result<void> begun = begin_object({change.kind, change.name, *change.text}, number);
        if (!begun) return within(begun.error());
        objects_digest.toggle(change.kind, change.name, *change.text);
    }
    const std::string_view source = to_string(revision.source);
    Statement insert(
        database_.get(),
        "INSERT INTO revisions (number, time_us, source, document_name, document_hash, objects_digest, "
        "audit) VALUES (?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, number);
    insert.bind(2, to_microseconds(revision.time));
    insert.bind(3, source);
    insert.bind(4, document_name);
    insert.bind(5, hash);
    insert.bind(6, objects_digest.text());
    insert.bind(7, revision.audit);
    if (Result<void> done = insert.run(); !done) return within(done.error());

    if (Result<void> done = keep_fragments(number, revision.document); !done) return within(done.error());

    Statement insert_change(database_.get(),
                            "INSERT INTO changes (revision, position, change) VALUES (?, ?, ?)");
    std::int64_t position = 0;
    for (const std::string& change : revision.changes) {
        insert_change.bind(1, number);
        insert_change.bind(2, position++);
        insert_change.bind(3, change);
        if (Result<void> done = insert_change.run(); !done) return within(done.error());
        insert_change.reset();
    }
    if (Result<void> done = execute("DELETE FROM confirmation"); !done) return within(done.error());
    if (revision.confirmation) {
        Statement await(
            database_.get(),
            "INSERT INTO confirmation (only, revision, fallback, deadline_us) VALUES (1, ?, ?, ?)");
        await.bind(1, number);
        await.bind(2, static_cast<std::int64_t>(revision.confirmation->fallback));
        await.bind(3, to_microseconds(revision.confirmation->deadline));
        if (Result<void> done = await.run(); !done) return within(done.error());
    }
    if (revision.answered) {
        if (Result<void> done = keep_record(*revision.answered); !done) return within(done.error());
    }
    if (revision.source == Source::file || revision.source == Source::reload) {
        std::optional<Document> read = revision.document;
        if (!read) {
            const Result<std::optional<Revision>> made = find(static_cast<std::uint64_t>(number));
            if (!made) return within(made.error());
            read = (*made)->document;
        }
        if (Result<void> done = set_loaded_file_hash(digest(*read)); !done) return within(done.error());
    }
    if (Result<void> done = forget_before(number); !done) return within(done.error());
    if (Result<void> done = transaction.commit(); !done) return within(done.error());
    return static_cast<std::uint64_t>(number);
}

Result<void> SqliteStore::keep_text(std::string_view hash, std::string_view text) {
    Statement statement(database_.get(), "INSERT OR IGNORE INTO texts (hash, text) VALUES (?, ?)");
    statement.bind(1, hash);
    statement.bind(2, text);
    return statement.run();
}

Result<void> SqliteStore::forget_before(std::int64_t newest) {
    Statement statement(database_.get(),
                        "DELETE FROM revisions WHERE number <= ? "
                        "AND number IS NOT (SELECT applied_revision FROM progress)");
    statement.bind(1, newest - static_cast<std::int64_t>(revisions_kept));
    if (Result<void> done = statement.run(); !done) return done;
    if (sqlite3_changes(database_.get()) == 0) return {};
    Statement objects(
        database_.get(),
        "DELETE FROM objects WHERE until <= ? AND NOT EXISTS "
        "(SELECT 1 FROM revisions WHERE revisions.number >= since AND revisions.number < until)");
    objects.bind(1, newest - static_cast<std::int64_t>(revisions_kept) + 1);
    if (Result<void> done = objects.run(); !done) return done;
    return execute(
        "DELETE FROM texts WHERE hash NOT IN (SELECT document_hash FROM revisions) "
        "AND NOT EXISTS (SELECT 1 FROM fragments WHERE text_hash = hash)");
}

Result<void> SqliteStore::keep_fragments(std::int64_t number, const std::optional<Document>& document) {
    if (!document) {
        Statement copy(database_.get(),
                       "INSERT INTO fragments (revision, position, name, text_hash) "
                       "SELECT ?1, position, name, text_hash FROM fragments WHERE revision = ?1 - 1");
        copy.bind(1, number);
        return copy.run();
    }
    Statement insert(database_.get(),
                     "INSERT INTO fragments (revision, position, name, text_hash) VALUES (?, ?, ?, ?)");
    std::int64_t position = 0;
    for (const Fragment& fragment : document->fragments) {
        const std::string hash = digest(fragment.text);
        if (Result<void> done = keep_text(hash, fragment.text); !done) return done;
        insert.bind(1, number);
        insert.bind(2, position++);
        insert.bind(3, fragment.name);
        insert.bind(4, hash);
        if (Result<void> done = insert.run(); !done) return done;
        insert.reset();
    }
    return {};
}

Result<std::vector<Fragment>> SqliteStore::read_fragments(std::int64_t revision, bool& damaged) {
    Statement statement(database_.get(),
                        "SELECT name, text, text_hash FROM fragments JOIN texts ON hash = text_hash "
                        "WHERE revision = ? ORDER BY position");
    statement.bind(1, revision);
    std::vector<Fragment> fragments;
    for (;;) {
        const Result<bool> row = statement.step();
        if (!row) return tl::unexpected(row.error());
        if (!*row) return fragments;
        fragments.push_back({statement.text(0), statement.text(1)});
        damaged = damaged || digest(fragments.back().text) != statement.text(2);
    }
}

Result<std::string> SqliteStore::end_object(std::string_view kind, std::string_view name,
                                            std::int64_t revision) {
    Statement find(database_.get(),
                   "SELECT number, text FROM objects WHERE kind = ? AND name = ? AND until IS NULL");
    find.bind(1, kind);
    find.bind(2, name);
    const Result<bool> found = find.step();
    if (!found) return tl::unexpected(found.error());
    if (!*found) return std::string{};
    const std::int64_t number = find.integer(0);
    std::string text = find.text(1);
    find.reset();
    Statement end(database_.get(), "UPDATE objects SET until = ? WHERE number = ?");
    end.bind(1, revision);
    end.bind(2, number);
    if (Result<void> done = end.run(); !done) return tl::unexpected(done.error());
    return text;
}

Result<void> SqliteStore::begin_object(const ObjectText& object, std::int64_t revision) {
    Statement begin(database_.get(),
                    "INSERT INTO objects (kind, name, text, since, until) VALUES (?, ?, ?, ?, NULL)");
    begin.bind(1, object.kind);
    begin.bind(2, object.name);
    begin.bind(3, object.text);
    begin.bind(4, revision);
    return begin.run();
}

Result<std::vector<ObjectText>> SqliteStore::read_objects(std::int64_t revision) {
    Statement statement(
        database_.get(),
        "SELECT kind, name, text FROM objects WHERE since <= ?1 AND (until IS NULL OR until > ?1) "
        "ORDER BY kind, name");
    statement.bind(1, revision);
    std::vector<ObjectText> objects;
    for (;;) {
        const Result<bool> row = statement.step();
        if (!row) return tl::unexpected(row.error());
        if (!*row) return objects;
        objects.push_back({statement.text(0), statement.text(1), statement.text(2)});
    }
}

// Versions 4 and 5 kept all objects of a revision as one text, {"vpcs": [{"name": "a", …}, …], …}.
Result<void> SqliteStore::keep_objects_apart() {
    std::map<std::pair<std::string, std::string>, std::string> now;  // by kind and name
    ObjectsDigest objects_digest;
    std::string hash_before;
    Statement revisions(database_.get(),
                        "SELECT number, objects_hash, text FROM revisions JOIN texts ON hash = objects_hash "
                        "ORDER BY number");
    Statement keep(database_.get(),
                   "INSERT INTO revisions_with_digest SELECT number, time_us, source, document_name, "
                   "document_hash, ?, audit FROM revisions WHERE number = ?");
    for (;;) {
        const Result<bool> row = revisions.step();
        if (!row) return tl::unexpected(row.error());
        if (!*row) break;
        const std::int64_t number = revisions.integer(0);
        if (const std::string hash = revisions.text(1); hash != hash_before) {
            const std::string text = revisions.text(2);
            auto wanted = digest(text) == hash ? objects_in(text) : std::nullopt;
            if (!wanted) return failure(fmt::format("the objects of revision {} are damaged", number));
            for (const auto& [key, before] : now) {
                const auto after = wanted->find(key);
                if (after != wanted->end() && after->second == before) continue;
                const Result<std::string> ended = end_object(key.first, key.second, number);
                if (!ended) return tl::unexpected(ended.error());
                objects_digest.toggle(key.first, key.second, before);
            }
            for (const auto& [key, after] : *wanted) {
                const auto before = now.find(key);
                if (before != now.end() && before->second == after) continue;
                Result<void> begun = begin_object({key.first, key.second, after}, number);
                if (!begun) return begun;
                objects_digest.toggle(key.first, key.second, after);
            }
            now = *std::move(wanted);
            hash_before = hash;
        }
        keep.reset();
        keep.bind(1, objects_digest.text());
        keep.bind(2, number);
        if (Result<void> done = keep.run(); !done) return done;
    }
    return execute(
        "DROP TABLE revisions; ALTER TABLE revisions_with_digest RENAME TO revisions;"
        "DELETE FROM texts WHERE hash NOT IN (SELECT document_hash FROM revisions)");
}

Result<void> SqliteStore::keep_record(const Answered& answered) {
    const auto& [record, now] = answered;
    // Those of the future were written before somebody set the clock back.
    Statement forget(database_.get(), "DELETE FROM idempotency WHERE time_us <= ?1 OR time_us > ?2");
    forget.bind(1, to_microseconds(now - idempotency_records_kept_for));
    forget.bind(2, to_microseconds(now));
    if (Result<void> done = forget.run(); !done) return done;
    Statement insert(database_.get(),
                     "INSERT INTO idempotency (key, time_us, request_hash, answer) VALUES (?, ?, ?, ?)");
    insert.bind(1, record.key);
    insert.bind(2, to_microseconds(now));
    insert.bind(3, record.request);
    insert.bind(4, record.answer);
    if (Result<void> done = insert.run(); !done) return done;
    Statement bound(database_.get(), "DELETE FROM idempotency WHERE number <= ?");
    bound.bind(
        1, sqlite3_last_insert_rowid(database_.get()) - static_cast<std::int64_t>(idempotency_records_kept));
    return bound.run();
}

Result<void> SqliteStore::run_and_keep(Statement& statement, const std::optional<Answered>& answered) {
    if (!answered) return statement.run();
    Transaction transaction(*this);
    if (!transaction.begun()) return transaction.begun();
    if (Result<void> done = statement.run(); !done) return done;
    if (Result<void> done = keep_record(*answered); !done) return done;
    return transaction.commit();
}

Result<void> SqliteStore::remember(const Answered& answered) {
    const auto within = [](const Error& error) {
        return failure_within("keep what was answered to a request", error);
    };
    Transaction transaction(*this);
    if (!transaction.begun()) return within(transaction.begun().error());
    if (Result<void> done = keep_record(answered); !done) return within(done.error());
    if (Result<void> done = transaction.commit(); !done) return within(done.error());
    return {};
}

Result<std::optional<IdempotencyRecord>> SqliteStore::idempotency_record(
    std::string_view key, std::chrono::system_clock::time_point now) {
    Statement statement(database_.get(),
                        "SELECT request_hash, answer FROM idempotency WHERE key = ? AND time_us > ?");
    statement.bind(1, key);
    statement.bind(2, to_microseconds(now - idempotency_records_kept_for));
    const Result<bool> row = statement.step();
    if (!row) return failure_within("read what was answered to a request", row.error());
    if (!*row) return std::optional<IdempotencyRecord>{};
    return std::optional(IdempotencyRecord{std::string(key), statement.text(0), statement.text(1)});
}

Result<std::optional<Revision>> SqliteStore::read_revision(Statement& statement) {
    const auto within = [](const Error& error) { return failure_within("read a revision", error); };
    const Result<bool> stepped = statement.step();
    if (!stepped) return within(stepped.error());
    if (!*stepped) return std::optional<Revision>{};

    Revision revision;
    const std::int64_t number = statement.integer(0);
    revision.number = static_cast<std::uint64_t>(number);
    revision.time = from_microseconds(statement.integer(1));
    const std::optional<Source> source = parse_source(statement.text(2));
    if (!source) return failure(fmt::format("read a revision: unknown source \"{}\"", statement.text(2)));
    revision.source = *source;
    revision.document = {statement.text(3), statement.text(4), {}};
    revision.audit = statement.text(7);
    const auto damaged = [number](std::string_view what) {
        return failure(
            fmt::format("read a revision: {} of revision {} is damaged; restore the history from a backup, "
                        "or move it away to "
                        "start with an empty one",
                        what, number));
    };
    if (digest(revision.document.text) != statement.text(5)) return damaged("the document");
    bool fragments_are_damaged = false;
    auto fragments = read_fragments(number, fragments_are_damaged);
    if (!fragments) return within(fragments.error());
    if (fragments_are_damaged) return damaged("the document");
    revision.document.fragments = *std::move(fragments);
    auto objects = read_objects(number);
    if (!objects) return within(objects.error());
    revision.objects = *std::move(objects);
    ObjectsDigest read;
    for (const ObjectText& object : revision.objects) read.toggle(object.kind, object.name, object.text);
    if (read.text() != statement.text(6)) return damaged("the API's half");

    Statement changes(database_.get(), "SELECT change FROM changes WHERE revision = ? ORDER BY position");
    changes.bind(1, number);
    for (;;) {
        const Result<bool> row = changes.step();
        if (!row) return within(row.error());
        if (!*row) break;
        revision.change_list.push_back(changes.text(0));
    }
    revision.changes = revision.change_list.size();
    return std::optional<Revision>(std::move(revision));
}

Result<std::optional<Revision>> SqliteStore::newest() {
    Statement statement(database_.get(),
                        (std::string(select_revisions) + "ORDER BY number DESC LIMIT 1").c_str());
    return read_revision(statement);
}

Result<std::optional<Revision>> SqliteStore::find(std::uint64_t number) {
    Statement statement(database_.get(), (std::string(select_revisions) + "WHERE number = ?").c_str());
    statement.bind(1, static_cast<std::int64_t>(number));
    return read_revision(statement);
}

Result<std::vector<RevisionSummary>> SqliteStore::history(std::size_t limit) {
    return history_before(INT64_MAX, limit);
}

Result<std::vector<RevisionSummary>> SqliteStore::history_before(std::uint64_t number, std::size_t limit) {
    Statement statement(database_.get(),
                        "SELECT number, time_us, source, audit, "
                        "(SELECT count(*) FROM changes WHERE revision = number) "
                        "FROM revisions WHERE number < ? ORDER BY number DESC LIMIT ?");
    statement.bind(1, static_cast<std::int64_t>(number));
    statement.bind(2, static_cast<std::int64_t>(limit));
    std::vector<RevisionSummary> summaries;
    for (;;) {
        const Result<bool> row = statement.step();
        if (!row) return failure_within("read the history", row.error());
        if (!*row) return summaries;
        RevisionSummary& summary = summaries.emplace_back();
        summary.number = static_cast<std::uint64_t>(statement.integer(0));
        summary.time = from_microseconds(statement.integer(1));
        summary.source = parse_source(statement.text(2)).value_or(Source::file);
        summary.audit = statement.text(3);
        summary.changes = static_cast<std::size_t>(statement.integer(4));
    }
}

Result<std::uint64_t> SqliteStore::applied_revision() {
    Statement statement(database_.get(), "SELECT coalesce(applied_revision, 0) FROM progress");
    const Result<bool> row = statement.step();
    if (!row) return failure_within("read the applied revision", row.error());
    return static_cast<std::uint64_t>(statement.integer(0));
}

Result<void> SqliteStore::set_applied_revision(std::uint64_t number) {
    Statement statement(database_.get(), "UPDATE progress SET applied_revision = nullif(?, 0)");
    statement.bind(1, static_cast<std::int64_t>(number));
    if (Result<void> done = statement.run(); !done) {
        return failure_within(fmt::format("note revision {} as applied", number), done.error());
    }
    return {};
}

Result<std::optional<Confirmation>> SqliteStore::confirmation() {
    Statement statement(database_.get(), "SELECT revision, fallback, deadline_us FROM confirmation");
    const Result<bool> row = statement.step();
    if (!row) return failure_within("read what awaits confirmation", row.error());
    if (!*row) return std::optional<Confirmation>{};
    return std::optional(Confirmation{static_cast<std::uint64_t>(statement.integer(0)),
                                      static_cast<std::uint64_t>(statement.integer(1)),
                                      from_microseconds(statement.integer(2))});
}

Result<void> SqliteStore::clear_confirmation(const std::optional<Answered>& answered) {
    Statement statement(database_.get(), "DELETE FROM confirmation");
    if (Result<void> done = run_and_keep(statement, answered); !done) {
        return failure_within("note that nothing awaits confirmation", done.error());
    }
    return {};
}

Result<std::vector<Drain>> SqliteStore::drains() {
    Statement statement(database_.get(),
                        "SELECT elastic_ip, started_us, deadline_us, deadline_us IS NULL, audit FROM drains "
                        "ORDER BY elastic_ip");
    std::vector<Drain> found;
    for (;;) {
        const Result<bool> row = statement.step();
        if (!row) return failure_within("read what is being drained", row.error());
        if (!*row) return found;
        Drain& drain = found.emplace_back();
        drain.elastic_ip = statement.text(0);
        drain.started = from_microseconds(statement.integer(1));
        if (statement.integer(3) == 0) drain.deadline = from_microseconds(statement.integer(2));
        drain.audit = statement.text(4);
    }
}

Result<void> SqliteStore::set_drain(const Drain& drain, const std::optional<Answered>& answered) {
    Statement statement(database_.get(),
                        "INSERT OR REPLACE INTO drains (elastic_ip, started_us, deadline_us, audit) "
                        "VALUES (?, ?, CASE WHEN ? THEN ? END, ?)");
    statement.bind(1, drain.elastic_ip);
    statement.bind(2, to_microseconds(drain.started));
    statement.bind(3, std::int64_t{drain.deadline.has_value()});
    statement.bind(4, to_microseconds(drain.deadline.value_or(drain.started)));
    statement.bind(5, drain.audit);
    if (Result<void> done = run_and_keep(statement, answered); !done) {
        return failure_within(fmt::format("note that {} is being drained", drain.elastic_ip), done.error());
    }
    return {};
}

Result<void> SqliteStore::clear_drain(std::string_view elastic_ip) {
    Statement statement(database_.get(), "DELETE FROM drains WHERE elastic_ip = ?");
    statement.bind(1, elastic_ip);
    if (Result<void> done = statement.run(); !done) {
        return failure_within(fmt::format("note that {} is no longer drained", elastic_ip), done.error());
    }
    return {};
}

Result<std::string> SqliteStore::loaded_file_hash() {
    Statement statement(database_.get(), "SELECT loaded_file_hash FROM progress");
    const Result<bool> row = statement.step();
    if (!row) return failure_within("read the digest of the loaded file", row.error());
    return statement.text(0);
}

Result<void> SqliteStore::set_loaded_file_hash(std::string_view hash) {
    Statement statement(database_.get(),
                        "UPDATE progress SET loaded_file_hash = ?1 WHERE loaded_file_hash <> ?1");
    statement.bind(1, hash);
    if (Result<void> done = statement.run(); !done) {
        return failure_within("note the digest of the loaded file", done.error());
    }
    return {};
}

}  // namespace sallyport::store

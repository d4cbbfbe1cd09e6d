// SPDX-License-Identifier: Apache-2.0
//
// What SqliteStore is written with, for its own files alone.
#pragma once

#include <fmt/format.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "store/sqlite_store.h"

namespace sallyport::store {

inline std::int64_t to_microseconds(std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

inline std::chrono::system_clock::time_point from_microseconds(std::int64_t count) {
    return std::chrono::system_clock::time_point{std::chrono::microseconds{count}};
}

inline tl::unexpected<Error> sqlite_failure(sqlite3* database, std::string_view doing) {
    return failure(fmt::format("{}: {}", doing, sqlite3_errmsg(database)));
}

// A prepared statement; parameters are numbered from 1, columns from 0.
class SqliteStore::Statement {
  public:
    Statement(sqlite3* database, const char* sql) : database_(database) {
        sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
    }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    ~Statement() { sqlite3_finalize(statement_); }

    // The text must outlive the statement.
    void bind(int parameter, std::string_view text) {
        sqlite3_bind_text64(statement_, parameter, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    }
    void bind(int parameter, std::int64_t number) { sqlite3_bind_int64(statement_, parameter, number); }

    // True: there is a row. False: done.
    Result<bool> step() {
        if (statement_ == nullptr) return sqlite_failure(database_, "prepare a statement");
        switch (sqlite3_step(statement_)) {
            case SQLITE_ROW:
                return true;
            case SQLITE_DONE:
                return false;
            default:
                return sqlite_failure(database_, "run a statement");
        }
    }
    Result<void> run() {
        const Result<bool> stepped = step();
        if (!stepped) return failure_within("write", stepped.error());
        return {};
    }
    void reset() { sqlite3_reset(statement_); }

    bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
    std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
    std::string text(int column) const {
        const void* bytes = sqlite3_column_blob(statement_, column);
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
        return bytes == nullptr ? std::string{} : std::string(static_cast<const char*>(bytes), size);
    }

  private:
    sqlite3* database_;
    sqlite3_stmt* statement_ = nullptr;
};

// Undone unless committed.
class SqliteStore::Transaction {
  public:
    explicit Transaction(SqliteStore& store) : store_(store), begun_(store.execute("BEGIN IMMEDIATE")) {}
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction() {
        if (begun_ && !committed_) (void)store_.execute("ROLLBACK");
    }
    const Result<void>& begun() const { return begun_; }
    Result<void> commit() {
        Result<void> result = store_.execute("COMMIT");
        committed_ = result.has_value();
        return result;
    }

  private:
    SqliteStore& store_;
    Result<void> begun_;
    bool committed_ = false;
};

// While this lives, a commit does not wait for the disk: what it wrote is there after a crash of the agent,
// and whole or not at all after a loss of power.
class SqliteStore::QuickCommits {
  public:
    explicit QuickCommits(SqliteStore& store) : store_(store) {
        (void)store_.execute("PRAGMA synchronous = NORMAL");
    }
    QuickCommits(const QuickCommits&) = delete;
    QuickCommits& operator=(const QuickCommits&) = delete;
    ~QuickCommits() { (void)store_.execute("PRAGMA synchronous = FULL"); }

  private:
    SqliteStore& store_;
};

}  // namespace sallyport::store

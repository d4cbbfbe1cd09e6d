// SPDX-License-Identifier: Apache-2.0
//
// The store in one SQLite file. It is opened with a write-ahead log and full synchronisation: a commit that
// was answered survives a loss of power. A file that is damaged, of a newer version or no database at all
// is refused with an error that says what to do; it is never repaired, emptied or deleted here, because
// forwarding goes on without it and the operator may still want what is in it.
#pragma once

#include <sqlite3.h>

#include <memory>

#include "store/store.h"

namespace sallyport::store {

class SqliteStore final : public Store {
  public:
    // Makes the file when it is missing and brings an older layout up to date. ":memory:" makes a store
    // that goes with this object.
    static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

    // A second connection to a store that is open, for another thread. It reads while the first one writes,
    // and sees each commit as a whole from the moment on that it is answered. It must go before the first
    // one.
    static Result<std::unique_ptr<StoreReader>> open_reader(const std::string& path);

    Result<std::uint64_t> commit(const NewRevision& revision) override;
    Result<std::optional<Revision>> newest() override;
    Result<std::optional<Revision>> find(std::uint64_t number) override;
    Result<std::vector<RevisionSummary>> history(std::size_t limit) override;
    Result<std::vector<RevisionSummary>> history_before(std::uint64_t number, std::size_t limit) override;
    Result<void> remember(const Answered& answered) override;
    Result<std::optional<IdempotencyRecord>> idempotency_record(
        std::string_view key, std::chrono::system_clock::time_point now) override;
    Result<std::uint64_t> applied_revision() override;
    Result<void> set_applied_revision(std::uint64_t number) override;
    Result<std::optional<Confirmation>> confirmation() override;
    Result<void> clear_confirmation(const std::optional<Answered>& answered) override;
    Result<std::vector<Drain>> drains() override;
    Result<void> set_drain(const Drain& drain, const std::optional<Answered>& answered) override;
    Result<void> clear_drain(std::string_view elastic_ip) override;
    Result<std::string> loaded_file_hash() override;
    Result<void> set_loaded_file_hash(std::string_view hash) override;
    Result<void> note_port_blocks(std::span<const PortBlockRecord> changes) override;
    Result<std::vector<PortBlockRecord>> port_blocks(Ipv4Address elastic_ip, std::uint16_t port,
                                                     std::chrono::system_clock::time_point first,
                                                     std::chrono::system_clock::time_point last) override;
    Result<std::vector<PortBlockRecord>> allocated_port_blocks() override;

  private:
    struct Close {
        void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    };
    class Statement;
    class Transaction;
    class QuickCommits;

    explicit SqliteStore(std::unique_ptr<sqlite3, Close> database) : database_(std::move(database)) {}

    static Result<std::unique_ptr<SqliteStore>> connect(const std::string& path, int flags);
    Result<void> execute(const char* sql);
    Result<void> migrate();
    Result<void> keep_objects_apart();
    // From `revision` on the object is no longer there. Gives its text; empty: it was not there before.
    Result<std::string> end_object(std::string_view kind, std::string_view name, std::int64_t revision);
    Result<void> begin_object(const ObjectText& object, std::int64_t revision);
    Result<std::vector<ObjectText>> read_objects(std::int64_t revision);
    // For the revision `number`; without a document they are those of the revision before it.
    Result<void> keep_fragments(std::int64_t number, const std::optional<Document>& document);
    Result<std::vector<Fragment>> read_fragments(std::int64_t revision, bool& damaged);
    Result<void> keep_text(std::string_view hash, std::string_view text);
    Result<void> keep_record(const Answered& answered);
    // Runs the statement and keeps the record, both or neither.
    Result<void> run_and_keep(Statement& statement, const std::optional<Answered>& answered);
    // Removes what the bound of the history leaves out, `newest` being the newest revision.
    Result<void> forget_before(std::int64_t newest);
    Result<std::optional<Revision>> read_revision(Statement& statement);
    Result<void> forget_port_blocks();
    Result<std::vector<PortBlockRecord>> read_port_blocks(Statement& statement);

    std::unique_ptr<sqlite3, Close> database_;
};

}  // namespace sallyport::store

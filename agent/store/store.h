// SPDX-License-Identifier: Apache-2.0
//
// What the agent must still know after a restart: the desired states that were committed, in order, with
// who asked for each and what it changed, and which of them the kernel has; what was answered to requests
// that may be repeated; and who had which external ports when. Implementation: SqliteStore, which on
// ":memory:" is also the fake of the layers above. All calls to one object are made from one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/address.h"
#include "core/result.h"

namespace sallyport::store {

// The history is bounded: a commit forgets all but this many of the newest revisions. The applied revision
// is kept however old it is.
inline constexpr std::size_t revisions_kept = 1000;

enum class Source { file, apply, reload, api };
std::string_view to_string(Source source);
std::optional<Source> parse_source(std::string_view text);

// A revision that is rolled back unless somebody confirms it in time.
struct Confirmation {
    std::uint64_t revision = 0;
    std::uint64_t fallback = 0;  // the revision whose document comes back
    std::chrono::system_clock::time_point deadline;
    bool operator==(const Confirmation&) const = default;
};

// What was answered to a request with a key of the client's own (Idempotency-Key), for when it comes again.
// Bounded too, in number and in age.
inline constexpr std::size_t idempotency_records_kept = 10000;
inline constexpr std::chrono::hours idempotency_records_kept_for{24};
struct IdempotencyRecord {
    std::string key;
    std::string request;  // digest() of all that makes it the same request
    std::string answer;
    bool operator==(const IdempotencyRecord&) const = default;
};

// What is answered now, to be kept with what the request does: both or neither.
struct Answered {
    IdempotencyRecord record;
    std::chrono::system_clock::time_point now;
};

// An object that was made through the API. Objects are known by their kind and name.
struct ObjectText {
    std::string kind;
    std::string name;
    std::string text;  // a JSON object
    bool operator==(const ObjectText&) const = default;
};

// An Elastic IP that takes no new flows, until somebody ends that.
struct Drain {
    std::string elastic_ip;
    std::chrono::system_clock::time_point started;                  // to the microsecond
    std::optional<std::chrono::system_clock::time_point> deadline;  // the same; flows that are left then end
    std::string audit;                                              // who asked, in words
    bool operator==(const Drain&) const = default;
};

// What becomes of one of them; without a text it goes.
struct ObjectChange {
    std::string kind;
    std::string name;
    std::optional<std::string> text = {};
    bool operator==(const ObjectChange&) const = default;
};

// A text that belongs to the document.
struct Fragment {
    std::string name;  // what messages about it call it
    std::string text;  // byte for byte
    bool operator==(const Fragment&) const = default;
};

// The configuration file's half of a desired state.
struct Document {
    std::string name;                      // what messages about it call it: usually a file name
    std::string text;                      // byte for byte
    std::vector<Fragment> fragments = {};  // in order
    bool operator==(const Document&) const = default;
};

// A desired state that is about to become a revision: what differs from the newest one in the configuration
// file's half and in that of the API.
struct NewRevision {
    std::chrono::system_clock::time_point time;
    Source source = Source::file;
    std::optional<Document> document;               // none: the newest revision's
    std::vector<ObjectChange> objects;              // those that differ, each once
    std::vector<std::string> changes;               // one JSON object each
    std::string audit;                              // who asked, in words
    std::optional<Confirmation> confirmation = {};  // that it has to await; its `revision` is not read
    std::optional<Answered> answered = {};          // to the request that it comes from
};

struct RevisionSummary {
    std::uint64_t number = 0;                    // the first is 1
    std::chrono::system_clock::time_point time;  // to the microsecond
    Source source = Source::file;
    std::size_t changes = 0;
    std::string audit;
};

struct Revision : RevisionSummary {
    Document document;
    std::vector<ObjectText> objects;  // by kind, and within a kind by name
    std::vector<std::string> change_list;
};

// The log of port blocks is bounded too: the oldest records go first, those of blocks that are still
// allocated last.
inline constexpr std::size_t port_block_records_kept = 100000;
inline constexpr std::uint16_t largest_port_block = 4096;  // ports

// A range of external ports that was an instance's alone.
struct PortBlockRecord {
    Ipv4Address elastic_ip;
    PortRange ports;
    Ipv4Address instance;
    std::string vpc;                                             // names of the time; empty: not known
    std::string nat_gateway;                                     // the same
    std::chrono::system_clock::time_point from;                  // to the microsecond
    std::optional<std::chrono::system_clock::time_point> until;  // none: it is still allocated
    bool operator==(const PortBlockRecord&) const = default;
};

// What queries read.
class StoreReader {
  public:
    virtual ~StoreReader() = default;

    // The revisions with lower numbers than `number`, which need not be there, newest first.
    virtual Result<std::vector<RevisionSummary>> history_before(std::uint64_t number, std::size_t limit) = 0;

    // digest() of the configuration file and its fragments when they were last read, or empty. It differs
    // from the newest revision's when an apply came later, or when a reload found nothing but new comments.
    virtual Result<std::string> loaded_file_hash() = 0;

    // Who had the port at any moment from `first` to `last`, newest first.
    virtual Result<std::vector<PortBlockRecord>> port_blocks(Ipv4Address elastic_ip, std::uint16_t port,
                                                             std::chrono::system_clock::time_point first,
                                                             std::chrono::system_clock::time_point last) = 0;
};

class Store : public StoreReader {
  public:
    // Makes the next revision, entirely or not at all, and returns its number. It costs what differs, and not
    // what there is. It is on disk when this
    // returns, and revisions beyond revisions_kept are gone. A number is never given twice. A commit with
    // source file or reload is also remembered as loaded file. Whatever awaited confirmation before awaits it
    // no longer.
    virtual Result<std::uint64_t> commit(const NewRevision& revision) = 0;

    virtual Result<std::optional<Revision>> newest() = 0;
    virtual Result<std::optional<Revision>> find(std::uint64_t number) = 0;
    virtual Result<std::vector<RevisionSummary>> history(std::size_t limit) = 0;  // newest first
    // Keeps the record of a request that changed nothing here.
    virtual Result<void> remember(const Answered& answered) = 0;
    // The record with that key, as long as it is kept.
    virtual Result<std::optional<IdempotencyRecord>> idempotency_record(
        std::string_view key, std::chrono::system_clock::time_point now) = 0;

    // The revision that the kernel was last brought to; 0: none.
    virtual Result<std::uint64_t> applied_revision() = 0;
    virtual Result<void> set_applied_revision(std::uint64_t number) = 0;

    // What awaits confirmation.
    virtual Result<std::optional<Confirmation>> confirmation() = 0;
    virtual Result<void> clear_confirmation(const std::optional<Answered>& answered) = 0;

    // In the order of names. set_drain() takes the place of one of the same Elastic IP; clearing what is not
    // there is no error.
    virtual Result<std::vector<Drain>> drains() = 0;
    virtual Result<void> set_drain(const Drain& drain, const std::optional<Answered>& answered) = 0;
    virtual Result<void> clear_drain(std::string_view elastic_ip) = 0;

    virtual Result<void> set_loaded_file_hash(std::string_view hash) = 0;

    // Notes in order, all or none, that blocks were allocated (`until` is none) or released. An allocation
    // ends what overlaps it; of a block that its instance is known to have already it only says since when. A
    // release of what is not known to be allocated changes nothing. A loss of power may take the newest of
    // these with it, though never a revision: nobody waits for a disk to receive packets.
    virtual Result<void> note_port_blocks(std::span<const PortBlockRecord> changes) = 0;
    virtual Result<std::vector<PortBlockRecord>> allocated_port_blocks() = 0;
};

// SHA-256 in hexadecimal.
std::string digest(std::string_view text);
// Of a document with its fragments; without any, it is that of its text. The document's name is no part of
// it.
std::string digest(const Document& document);

}  // namespace sallyport::store

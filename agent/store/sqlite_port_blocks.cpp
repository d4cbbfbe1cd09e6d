// SPDX-License-Identifier: Apache-2.0
//
// The log of port blocks, one of the things that SqliteStore keeps.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "store/sqlite_statement.h"
#include "store/sqlite_store.h"

namespace sallyport::store {

Result<void> SqliteStore::note_port_blocks(std::span<const PortBlockRecord> changes) {
    const auto within = [](const Error& error) { return failure_within("note port blocks", error); };
    if (changes.empty()) return {};
    const QuickCommits quick(*this);
    Transaction transaction(*this);
    if (!transaction.begun()) return within(transaction.begun().error());

    // In all of them 1 to 3 are the block, 4 is the instance and 5 the time.
    const std::string overlapping = fmt::format(
        "UPDATE port_blocks SET until_us = max(from_us, ?5) WHERE until_us IS NULL AND elastic_ip = ?1 "
        "AND first_port > ?2 - {} AND first_port <= ?3 AND last_port >= ?2",
        largest_port_block);
    Statement keep(
        database_.get(),
        "UPDATE port_blocks SET from_us = min(from_us, ?5) WHERE until_us IS NULL "
        "AND elastic_ip = ?1 AND first_port = ?2 AND last_port = ?3 AND instance = ?4 AND vpc = ?6");
    Statement end_overlapping(database_.get(), overlapping.c_str());
    Statement begin(database_.get(),
                    "INSERT INTO port_blocks (elastic_ip, first_port, last_port, instance, vpc, nat_gateway, "
                    "from_us, until_us) VALUES (?1, ?2, ?3, ?4, ?6, ?7, ?5, NULL)");
    Statement end(database_.get(),
                  "UPDATE port_blocks SET until_us = max(from_us, ?5) WHERE until_us IS NULL "
                  "AND elastic_ip = ?1 AND first_port = ?2 AND last_port = ?3 AND instance = ?4");
    for (const PortBlockRecord& change : changes) {
        const std::string elastic_ip = change.elastic_ip.to_string();
        const std::string instance = change.instance.to_string();
        const auto ready = [&](Statement& statement) -> Statement& {
            statement.reset();
            statement.bind(1, elastic_ip);
            statement.bind(2, std::int64_t{change.ports.first});
            statement.bind(3, std::int64_t{change.ports.last});
            statement.bind(4, instance);
            statement.bind(5, to_microseconds(change.until.value_or(change.from)));
            return statement;
        };
        if (change.until) {
            if (Result<void> done = ready(end).run(); !done) return within(done.error());
            continue;
        }
        ready(keep).bind(6, change.vpc);
        if (Result<void> done = keep.run(); !done) return within(done.error());
        if (sqlite3_changes(database_.get()) != 0) continue;
        if (Result<void> done = ready(end_overlapping).run(); !done) return within(done.error());
        ready(begin).bind(6, change.vpc);
        begin.bind(7, change.nat_gateway);
        if (Result<void> done = begin.run(); !done) return within(done.error());
    }
    if (Result<void> done = forget_port_blocks(); !done) return within(done.error());
    if (Result<void> done = transaction.commit(); !done) return within(done.error());
    return {};
}

Result<void> SqliteStore::forget_port_blocks() {
    Statement count(database_.get(), "SELECT count(*) FROM port_blocks");
    const Result<bool> counted = count.step();
    if (!counted) return tl::unexpected(counted.error());
    const std::int64_t surplus = count.integer(0) - static_cast<std::int64_t>(port_block_records_kept);
    if (surplus <= 0) return {};
    Statement statement(database_.get(),
                        "DELETE FROM port_blocks WHERE number IN "
                        "(SELECT number FROM port_blocks ORDER BY until_us IS NULL, number LIMIT ?)");
    statement.bind(1, surplus);
    return statement.run();
}

Result<std::vector<PortBlockRecord>> SqliteStore::read_port_blocks(Statement& statement) {
    std::vector<PortBlockRecord> records;
    for (;;) {
        const Result<bool> row = statement.step();
        if (!row) return failure_within("read the log of port blocks", row.error());
        if (!*row) return records;
        const Result<Ipv4Address> elastic_ip = Ipv4Address::parse(statement.text(0));
        const Result<Ipv4Address> instance = Ipv4Address::parse(statement.text(3));
        if (!elastic_ip || !instance) return failure("read the log of port blocks: an address is damaged");
        PortBlockRecord& record = records.emplace_back();
        record.elastic_ip = *elastic_ip;
        record.ports = {static_cast<std::uint16_t>(statement.integer(1)),
                        static_cast<std::uint16_t>(statement.integer(2))};
        record.instance = *instance;
        record.vpc = statement.text(4);
        record.nat_gateway = statement.text(5);
        record.from = from_microseconds(statement.integer(6));
        if (!statement.is_null(7)) record.until = from_microseconds(statement.integer(7));
    }
}

Result<std::vector<PortBlockRecord>> SqliteStore::port_blocks(Ipv4Address elastic_ip, std::uint16_t port,
                                                              std::chrono::system_clock::time_point first,
                                                              std::chrono::system_clock::time_point last) {
    Statement statement(database_.get(),
                        "SELECT elastic_ip, first_port, last_port, instance, vpc, nat_gateway, from_us, "
                        "until_us FROM port_blocks WHERE elastic_ip = ?1 "
                        "AND first_port > ?2 - ?3 AND first_port <= ?2 AND last_port >= ?2 AND from_us <= ?5 "
                        "AND (until_us IS NULL OR until_us >= ?4) ORDER BY from_us DESC, number DESC");
    const std::string address = elastic_ip.to_string();
    statement.bind(1, address);
    statement.bind(2, std::int64_t{port});
    statement.bind(3, std::int64_t{largest_port_block});
    statement.bind(4, to_microseconds(first));
    statement.bind(5, to_microseconds(last));
    return read_port_blocks(statement);
}

Result<std::vector<PortBlockRecord>> SqliteStore::allocated_port_blocks() {
    Statement statement(database_.get(),
                        "SELECT elastic_ip, first_port, last_port, instance, vpc, nat_gateway, from_us, "
                        "until_us FROM port_blocks WHERE until_us IS NULL ORDER BY number");
    return read_port_blocks(statement);
}

}  // namespace sallyport::store

// SPDX-License-Identifier: Apache-2.0
#include "store/layout.h"

#include <array>

namespace sallyport::store {
namespace {

constexpr std::array steps{R"sql(
    CREATE TABLE revisions (
        number        INTEGER PRIMARY KEY,
        time_us       INTEGER NOT NULL,
        source        TEXT    NOT NULL CHECK (source IN ('file', 'apply', 'reload')),
        document_name TEXT    NOT NULL,
        document      TEXT    NOT NULL,
        document_hash TEXT    NOT NULL,
        audit         TEXT    NOT NULL
    ) STRICT;
    CREATE TABLE changes (
        revision INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        change   TEXT    NOT NULL,
        PRIMARY KEY (revision, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE progress (
        only             INTEGER PRIMARY KEY CHECK (only = 1),
        applied_revision INTEGER REFERENCES revisions (number),
        loaded_file_hash TEXT NOT NULL
    ) STRICT;
    INSERT INTO progress (only, applied_revision, loaded_file_hash) VALUES (1, NULL, '');
)sql",
                           R"sql(
    CREATE TABLE confirmation (
        only        INTEGER PRIMARY KEY CHECK (only = 1),
        revision    INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,
        fallback    INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,
        deadline_us INTEGER NOT NULL
    ) STRICT;
)sql",
                           R"sql(
    CREATE TABLE port_blocks (
        number      INTEGER PRIMARY KEY,
        elastic_ip  TEXT    NOT NULL,
        first_port  INTEGER NOT NULL,
        last_port   INTEGER NOT NULL,
        instance    TEXT    NOT NULL,
        vpc         TEXT    NOT NULL,
        nat_gateway TEXT    NOT NULL,
        from_us     INTEGER NOT NULL,
        until_us    INTEGER
    ) STRICT;
    CREATE INDEX port_blocks_by_port ON port_blocks (elastic_ip, first_port);
    CREATE INDEX port_blocks_allocated ON port_blocks (elastic_ip, first_port) WHERE until_us IS NULL;
    CREATE INDEX port_blocks_in_order_of_going ON port_blocks (until_us IS NULL, number);
)sql",
                           // A revision has two texts now, of which most revisions
                           // change one: each text is kept once, under its digest. Until
                           // now there were no objects, which is the text {}.
                           R"sql(
    CREATE TABLE texts (
        hash TEXT PRIMARY KEY,
        text TEXT NOT NULL
    ) STRICT;
    INSERT INTO texts (hash, text)
        VALUES ('44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '{}');
    INSERT OR IGNORE INTO texts (hash, text) SELECT document_hash, document FROM revisions;
    CREATE TABLE revisions_with_objects (
        number        INTEGER PRIMARY KEY,
        time_us       INTEGER NOT NULL,
        source        TEXT    NOT NULL CHECK (source IN ('file', 'apply', 'reload', 'api')),
        document_name TEXT    NOT NULL,
        document_hash TEXT    NOT NULL REFERENCES texts (hash),
        objects_hash  TEXT    NOT NULL REFERENCES texts (hash),
        audit         TEXT    NOT NULL
    ) STRICT;
    INSERT INTO revisions_with_objects
        SELECT number, time_us, source, document_name, document_hash,
               '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', audit FROM revisions;
    DROP TABLE revisions;
    ALTER TABLE revisions_with_objects RENAME TO revisions;
    CREATE TABLE idempotency (
        number       INTEGER PRIMARY KEY,
        key          TEXT    NOT NULL UNIQUE,
        time_us      INTEGER NOT NULL,
        request_hash TEXT    NOT NULL,
        answer       TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX idempotency_by_time ON idempotency (time_us);
)sql",
                           R"sql(
    CREATE TABLE drains (
        elastic_ip  TEXT    PRIMARY KEY,
        started_us  INTEGER NOT NULL,
        deadline_us INTEGER,
        audit       TEXT    NOT NULL
    ) STRICT;
)sql",
                           // Objects are kept one by one, each for as long as it was as
                           // it was, so that a change of one does not write the others
                           // again. keep_objects_apart() moves them here.
                           R"sql(
    CREATE TABLE objects (
        number INTEGER PRIMARY KEY,
        kind   TEXT    NOT NULL,
        name   TEXT    NOT NULL,
        text   TEXT    NOT NULL,
        since  INTEGER NOT NULL,
        until  INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX objects_of_the_newest ON objects (kind, name) WHERE until IS NULL;
    CREATE INDEX objects_in_order_of_going ON objects (until) WHERE until IS NOT NULL;
    CREATE TABLE revisions_with_digest (
        number         INTEGER PRIMARY KEY,
        time_us        INTEGER NOT NULL,
        source         TEXT    NOT NULL CHECK (source IN ('file', 'apply', 'reload', 'api')),
        document_name  TEXT    NOT NULL,
        document_hash  TEXT    NOT NULL REFERENCES texts (hash),
        objects_digest TEXT    NOT NULL,
        audit          TEXT    NOT NULL
    ) STRICT;
)sql",
                           // Files of sallyport.d, which belong to the document.
                           R"sql(
    CREATE TABLE fragments (
        revision  INTEGER NOT NULL REFERENCES revisions (number) ON DELETE CASCADE,
        position  INTEGER NOT NULL,
        name      TEXT    NOT NULL,
        text_hash TEXT    NOT NULL REFERENCES texts (hash),
        PRIMARY KEY (revision, position)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX fragments_by_text ON fragments (text_hash);
)sql"};

}  // namespace

std::span<const char* const> layout_steps() {
    return steps;
}

}  // namespace sallyport::store

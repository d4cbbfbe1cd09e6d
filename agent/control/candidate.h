// SPDX-License-Identifier: Apache-2.0
//
// From texts to what may become a revision: those of files and those of the store, put together with the
// objects of the API, or why not.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "config/load.h"
#include "config/sources.h"
#include "core/result.h"
#include "model/objects.h"
#include "model/resources.h"
#include "store/store.h"

namespace sallyport::control {

// Why a command was not carried out.
struct Refusal {
    enum class Kind {
        invalid,      // the document has faults; nothing was changed
        not_applied,  // the kernel refuses; the revision is committed and is being tried again
        conflict,     // something else has to happen first; nothing was changed
        missing,      // there is no such revision or object; nothing was changed
        key_reused,   // the key came with another request before; nothing was changed
        failed,       // the store, a file or the kernel failed; nothing was changed
    };
    Kind kind = Kind::failed;
    std::string message;
    std::vector<config::Fault> faults;
};

template <typename T>
using Outcome = tl::expected<T, Refusal>;

tl::unexpected<Refusal> failed(const Error& error);
tl::unexpected<Refusal> conflict(std::string why);
// `name` is what messages call it.
tl::unexpected<Refusal> invalid(const std::string& name, std::vector<config::Fault> faults);
std::string counted_faults(const std::vector<config::Fault>& faults);
std::vector<std::string> texts_of(const std::vector<config::Fault>& faults);

// What was made through the API and stays when a document is applied.
std::vector<model::Object> kept_objects(const model::DesiredState& state, bool prune);

// What may become a revision: the texts of the files, and the state that they give together with the objects
// of the API.
struct Candidate {
    config::Sources sources;
    config::Loaded loaded;                     // joined with the objects
    std::vector<config::Fault> file_warnings;  // of the files alone
};

// What the agent starts with: the newest revision of the store, or the file when it has changed since it
// was last read, with the objects of the newest revision. Found before the data plane is opened, because it
// says how large a flow table to make.
struct Opening : Candidate {
    // Of the configuration file, whatever revision is the newest; none: this version does not accept the
    // file.
    std::optional<config::ApiSettings> api;
    bool from_file = false;            // else it is the store's newest revision, unchanged
    std::uint64_t store_revision = 0;  // the newest; 0: none
    std::shared_ptr<const model::DesiredState> store_state;  // what it holds; null: none
};
Outcome<Opening> find_opening(store::Store& store, const std::string& config_path);

Outcome<Candidate> read_candidate(config::Sources sources, const std::vector<model::Object>& objects);
// Both halves of a revision of the history.
Outcome<Candidate> read_candidate(const store::Revision& revision, const std::vector<model::Object>& objects);
Outcome<std::vector<model::Object>> read_objects(const store::Revision& revision);

store::Document document_of(const config::Sources& sources);
std::string digest_of(const config::Sources& sources);
bool have_same_texts(const config::Sources& a, const config::Sources& b);
std::shared_ptr<const model::DesiredState> share(model::DesiredState state);

}  // namespace sallyport::control

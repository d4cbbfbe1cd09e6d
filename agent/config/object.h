// SPDX-License-Identifier: Apache-2.0
//
// Objects that are made through the API: JSON with the keys of the configuration file, read as strictly.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "config/load.h"
#include "model/objects.h"

namespace sallyport::config {

// An object as a request describes it. Where there are faults, they are all that reading has found, and the
// object is what could be read.
struct Draft {
    model::Object object;
    std::vector<Fault> faults;
    bool legible = true;  // false: there is no object at all in what was read
};

// `name` is that of the request's path, or empty: then the text has to name the object. The key `origin` may
// be there, so that what was read may be written.
Draft read_object(model::Kind kind, std::string_view json, std::string_view name = {});

// The object after a JSON merge patch (RFC 7396).
Draft patch_object(const model::Object& object, std::string_view json);

// The state with the draft in it, or all that is wrong with it, in itself and beside the others. `state` is
// one without faults.
tl::expected<model::DesiredState, std::vector<Fault>> with_object(const model::DesiredState& state,
                                                                  const Draft& draft);

// What is wrong with a state from which an object was removed.
std::vector<Fault> faults_without_object(const model::DesiredState& state);

// An object as text, for the store: all its fields, defaults included, but for its origin. What is read comes
// from the API.
std::string object_text(const model::Object& object);
tl::expected<model::Object, std::vector<Fault>> read_object_text(model::Kind kind, std::string_view text);

// Joins the state of a file with the objects that were made through the API. Each half stands for itself: the
// file's refers to nothing of the other, so that it can be loaded without it. `sources` are those of the
// file, for the places of faults; those of an object tell its name instead.
tl::expected<Loaded, std::vector<Fault>> join(const Loaded& file, const Sources& sources,
                                              const std::vector<model::Object>& objects);

// The warnings of a joined state; `known` are those of the file alone.
std::vector<Fault> joined_warnings(const model::DesiredState& state, const std::vector<Fault>& known,
                                   const Sources& sources);

}  // namespace sallyport::config

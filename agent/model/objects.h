// SPDX-License-Identifier: Apache-2.0
//
// Objects one by one, whatever their kind: what the API makes, changes and removes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/kinds.h"
#include "model/resources.h"

namespace sallyport::model {

namespace detail {
template <typename Nothing, typename... Types>
struct OneOf {
    using Type = std::variant<Types...>;
};
}  // namespace detail

// An object of any kind; the alternatives are in the order of Kind.
#define X(name, Type, word, help) , Type
using Object = detail::OneOf<void SALLYPORT_KINDS(X)>::Type;
#undef X

Kind kind_of(const Object& object);
const std::string& name_of(const Object& object);
Origin origin_of(const Object& object);

// An object without anything but a name.
Object empty_object(Kind kind, std::string name);

std::optional<Object> find_object(const DesiredState& state, Kind kind, std::string_view name);
// In the order of kinds, within a kind as in the state.
std::vector<Object> objects_of(const DesiredState& state, Origin origin);

// Puts the object behind all of its kind.
void append_object(DesiredState& state, Object object);
// Puts the object in the place of the one with its name, or behind all of its kind; objects of the API in the
// order of their names, so that it is the same when they are read from the store. Gives its position.
std::size_t put_object(DesiredState& state, Object object);
void remove_object(DesiredState& state, Kind kind, std::string_view name);

// The object that a path such as "subnets[1].cidr" leads into; nothing for paths of other things.
std::optional<Object> object_at(const DesiredState& state, std::string_view path);

// `Elastic IP "eip-1"`
std::string describe(Kind kind, std::string_view name);
std::string describe(const Object& object);

// What refers to an object, in words: `NAT gateway "egress"`. An object's references to itself do not count.
std::vector<std::string> referrers(const DesiredState& state, Kind kind, std::string_view name);

// With "origin", as in json.h.
nlohmann::json to_json(const Object& object);

}  // namespace sallyport::model

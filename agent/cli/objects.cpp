// SPDX-License-Identifier: Apache-2.0
//
// The commands on one resource.
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <set>
#include <thread>

#include "cli/run.h"
#include "cli/session.h"
#include "cli/views.h"
#include "config/document.h"
#include "core/file.h"

namespace sallyport::cli {
namespace {

tl::unexpected<Problem> wrong_usage(std::string detail) {
    return problem(ExitCode::usage, "wrong usage", std::move(detail));
}

model::Kind kind_of(const Session& session) {
    return *model::parse_kind(
        session.invocation().value("kind"));  // one of the words, else it is wrong usage
}

// A value that was written without quotes.
Json plain_value(const std::string& text) {
    if (text == "null") return nullptr;
    if (text == "true" || text == "false") return text == "true";
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, number);
    // Leading zeros would be lost, and then it was no number that was meant.
    const bool whole = error == std::errc{} && stop == end && std::to_string(number) == text;
    return whole ? Json(number) : Json(text);
}

Json json_of(const config::Node& node) {
    switch (node.type) {
        case config::Node::Type::null:
            return nullptr;
        case config::Node::Type::scalar:
            return node.quoted ? Json(node.scalar) : plain_value(node.scalar);
        case config::Node::Type::list: {
            Json list = Json::array();
            for (const config::Node& child : node.children) list.push_back(json_of(child));
            return list;
        }
        case config::Node::Type::map:
            break;
    }
    Json map = Json::object();
    for (std::size_t i = 0; i < node.keys.size(); ++i) map[node.keys[i].text] = json_of(node.children[i]);
    return map;
}

// The first key that a map has twice.
const config::Key* find_duplicate(const config::Node& node) {
    std::set<std::string_view> seen;
    for (const config::Key& key : node.keys) {
        if (!seen.insert(key.text).second) return &key;
    }
    for (const config::Node& child : node.children) {
        if (const config::Key* found = find_duplicate(child)) return found;
    }
    return nullptr;
}

Outcome read_yaml(const std::string& text, const std::string& name, ExitCode exit) {
    std::vector<config::Fault> faults;
    const config::Node root = config::parse_document(text, name, faults);
    if (!faults.empty()) return problem(exit, "not readable", faults.front().to_string());
    if (const config::Key* key = find_duplicate(root)) {
        return problem(exit, "not readable",
                       fmt::format("{}:{}:{}: duplicate key \"{}\"; expected each key once", name,
                                   key->mark.line, key->mark.column, key->text));
    }
    return json_of(root);
}

// The value of a FIELD=VALUE. Only what begins like YAML's lists, maps and quotes is read as YAML: the rest
// is taken as it stands, whatever characters are in it.
Outcome read_value(const std::string& text, const std::string& field) {
    if (text.empty() || std::string_view("[{\"'").find(text.front()) == std::string_view::npos)
        return plain_value(text);
    return read_yaml(text, field, ExitCode::usage);
}

// "timeouts.udp=300s" as {"timeouts": {"udp": "300s"}} in `object`.
tl::expected<void, Problem> set_field(Json& object, const std::string& setting) {
    const std::string path = setting.substr(0, setting.find('='));
    const Outcome value = read_value(setting.substr(path.size() + 1), path);
    if (!value) return tl::unexpected(value.error());
    Json* place = &object;
    for (std::size_t begin = 0; begin <= path.size();) {
        // A null that was given is no map either: as a patch it means another thing than a map does.
        if (!place->is_object())
            return wrong_usage(
                fmt::format("{} is no map, and {} leads into it", path.substr(0, begin - 1), path));
        const std::size_t end = std::min(path.find('.', begin), path.size());
        place = &place->emplace(path.substr(begin, end - begin), Json::object()).first.value();
        begin = end + 1;
    }
    *place = *value;
    return {};
}

Outcome fields_of_file(const std::string& path) {
    const bool standard_input = path == "-";
    const auto text = read_file(standard_input ? "/dev/stdin" : path);
    if (!text) return problem(ExitCode::failed, "file not readable", text.error().message);
    const std::string name = standard_input ? "standard input" : path;
    Outcome fields = read_yaml(*text, name, ExitCode::failed);
    if (fields && !fields->is_object())
        return problem(ExitCode::failed, "not readable", fmt::format("{} holds no map of fields", name));
    return fields;
}

// What the file and the words of the command line say of the object.
Outcome fields_given(const Invocation& given) {
    Json object = Json::object();
    if (given.has("file")) {
        Outcome fields = fields_of_file(given.value("file"));
        if (!fields) return fields;
        object = *std::move(fields);
    }
    for (const std::string& setting : given.repeated) {
        if (auto set = set_field(object, setting); !set) return tl::unexpected(set.error());
    }
    const std::string name = given.value("name");
    if (object.contains("name") && object["name"] != name)
        return wrong_usage(
            fmt::format("its name is {}, and its field name says {}", name, object["name"].dump()));
    return object;
}

// The answer to a change does not tell whether it has changed anything, or made the object.
ExitCode show_change(Session& session, const Outcome& before, const Outcome& after) {
    return session.show(after, [&](Text& text, const Json& now) {
        const std::string name = session.invocation().value("name");
        if (!before) {
            created_view(text, kind_of(session), name);
        } else if (now == *before) {
            text.line("no changes");
        } else {
            changed_view(text, kind_of(session), name);
        }
    });
}

std::string drain_path(const std::string& elastic_ip) {
    return path_of({to_string(model::Kind::elastic_ips), elastic_ip, "drain"});
}

ExitCode abort_drain(Session& session, const std::string& elastic_ip) {
    return session.show(session.api().remove(drain_path(elastic_ip)), [&](Text& text, const Json&) {
        text.line(fmt::format("Elastic IP {} takes new flows", elastic_ip));
    });
}

}  // namespace

ExitCode run_create(Session& session) {
    Outcome object = fields_given(session.invocation());
    if (!object) return session.show(object.error());
    const std::string name = session.invocation().value("name");
    (*object)["name"] = name;
    // A key in any case: whether it was made cannot be seen from trying again.
    const std::string key = session.key().empty() ? random_key() : session.key();
    const Outcome created = session.api().post(path_of({session.invocation().value("kind")}), *object, key);
    return session.show(created,
                        [&](Text& text, const Json&) { created_view(text, kind_of(session), name); });
}

ExitCode run_set(Session& session) {
    const Invocation& given = session.invocation();
    if (given.repeated.empty() && !given.has("file"))
        return session.show(wrong_usage("FIELD=VALUE or --file is missing").value());
    const Outcome patch = fields_given(given);
    if (!patch) return session.show(patch.error());
    const std::string name = given.value("name");
    const std::string path = path_of({given.value("kind"), name});
    const Outcome before = session.api().get(path);
    if (!before) return session.show(before.error());
    return show_change(session, before, session.api().patch(path, *patch, given.value("if-match")));
}

ExitCode run_replace(Session& session) {
    const Invocation& given = session.invocation();
    Outcome object = fields_given(given);
    if (!object) return session.show(object.error());
    const std::string name = given.value("name");
    (*object)["name"] = name;
    const std::string path = path_of({given.value("kind"), name});
    const Outcome before = session.api().get(path);  // there need not be one
    return show_change(session, before, session.api().put(path, *object, given.value("if-match")));
}

ExitCode run_delete(Session& session) {
    const Invocation& given = session.invocation();
    const std::string name = given.value("name");
    const Outcome deleted =
        session.api().remove(path_of({given.value("kind"), name}), given.value("if-match"));
    return session.show(deleted,
                        [&](Text& text, const Json&) { deleted_view(text, kind_of(session), name); });
}

ExitCode run_drain(Session& session) {
    constexpr std::chrono::seconds look_every{1};
    const Invocation& given = session.invocation();
    const std::string name = given.value("eip");
    const bool only_look = given.has("status"), abort = given.has("abort");
    const bool begins = given.has("timeout") || given.has("wait") || given.has("idempotency-key");
    if ((abort && only_look) || ((abort || only_look) && begins))
        return session.show(
            wrong_usage(fmt::format("{} goes with no other option", abort ? "--abort" : "--status")).value());
    if (abort) return abort_drain(session, name);
    if (!only_look) {
        Json body = Json::object();
        if (given.has("timeout")) body["timeout"] = given.value("timeout");
        if (const Outcome begun = session.api().post(drain_path(name), body, session.key()); !begun)
            return session.show(begun.error());
    }
    Outcome now = session.api().get(drain_path(name));
    while (given.has("wait") && now && field(*now, "state") != "drained") {
        std::this_thread::sleep_for(look_every);
        now = session.api().get(drain_path(name));
    }
    return session.show(now, drain_view);
}

ExitCode run_eip(Session& session) {
    const Invocation& given = session.invocation();
    const bool associate = given.value("action") == "associate";
    if (associate && !given.has("instance")) return session.show(wrong_usage("INSTANCE is missing").value());
    if (!associate && given.has("instance"))
        return session.show(wrong_usage(fmt::format("unexpected \"{}\"", given.value("instance"))).value());
    const std::string path = path_of({to_string(model::Kind::elastic_ips), given.value("name")});
    const Outcome before = session.api().get(path);
    if (!before) return session.show(before.error());
    if (field(*before, "instance") == given.value("instance")) {
        return session.show(before, [](Text& text, const Json&) { text.line("no changes"); });
    }
    const Json instance = associate ? Json(given.value("instance")) : Json(nullptr);
    return session.show(session.api().patch(path, {{"instance", instance}}), association_view);
}

}  // namespace sallyport::cli

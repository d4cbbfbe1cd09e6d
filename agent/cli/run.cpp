// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <fmt/format.h>

#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include <tl/expected.hpp>

#include "cli/session.h"
#include "cli/views.h"
#include "config/sources.h"
#include "core/address.h"
#include "core/duration.h"
#include "core/file.h"

namespace sallyport::cli {
namespace {

constexpr std::chrono::seconds longest_poll{30};  // what the agent allows
constexpr std::chrono::seconds poll_margin{15};   // for an answer that it began to give just then
constexpr std::chrono::milliseconds ready_pause{200};

struct Documents {
    config::Sources sources;
    std::string left_out;  // the directory of fragments that are not among them
};

// A file is taken alone, as whoever names one may not know what lies beside it. Only the agent's own comes
// with its fragments: without them it would be half of what the agent reads itself.
tl::expected<Documents, Problem> read_documents(Session& session, const std::string& path) {
    const auto unreadable = [](const Error& error) {
        return problem(ExitCode::failed, "file not readable", error.message);
    };
    const std::string directory = config::fragments_directory(path);
    std::error_code error;
    const bool may_have_fragments = path != "-" && std::filesystem::exists(directory, error);
    // The file of an agent on another host may have the same path and is another one.
    if (may_have_fragments && !session.api().server().is_remote()) {
        const Outcome status = session.api().get(path_of({"status"}));
        if (!status) return tl::unexpected(status.error());
        const std::string own = field(*status, "configuration");
        if (!own.empty() && std::filesystem::equivalent(path, own, error)) {
            auto sources = config::read_sources(own);
            if (!sources) return unreadable(sources.error());
            return Documents{*std::move(sources), {}};
        }
    }
    auto text = read_file(path == "-" ? "/dev/stdin" : path);
    if (!text) return unreadable(text.error());
    return Documents{{{path == "-" ? "standard input" : path, *std::move(text)}},
                     may_have_fragments ? directory : std::string()};
}

// The request of plan and apply: the documents themselves, as the agent may not be able to read the files.
Outcome send_document(Session& session, std::string_view command) {
    const auto read = read_documents(session, session.invocation().value("file"));
    if (!read) return tl::unexpected(read.error());
    Json body{{"document", read->sources.front().text}, {"name", read->sources.front().name}};
    for (std::size_t i = 1; i < read->sources.size(); ++i) {
        body["fragments"].push_back(
            Json{{"name", read->sources[i].name}, {"document", read->sources[i].text}});
    }
    if (session.invocation().has("prune")) body["prune"] = true;
    if (session.invocation().has("confirm")) body["confirm_within"] = session.invocation().value("confirm");
    Outcome answer = session.api().post(path_of({command}), body, session.key());
    if (answer && !read->left_out.empty()) {
        (*answer)["warnings"].push_back(fmt::format(
            "{} is left out: it belongs to the agent's own configuration file alone", read->left_out));
    }
    return answer;
}

struct Tuple {
    std::string protocol;
    std::string source;
    std::string destination;
};

// What is wrong with the end of a packet; empty: nothing. For ICMP an address alone will do.
std::string fault_of_end(const std::string& text, bool may_lack_port) {
    if (Endpoint::parse(text) || (may_lack_port && Ipv4Address::parse(text))) return {};
    return fmt::format("\"{}\" is no ADDRESS:PORT", text);
}

// "tcp:10.0.1.12:40000-203.0.113.10:443", or the same in three words.
tl::expected<Tuple, std::string> parse_tuple(const std::string& text) {
    const bool is_one_word = text.find(' ') == std::string::npos;
    const std::size_t first = text.find(is_one_word ? ':' : ' ');
    const std::size_t second =
        first == std::string::npos ? first : text.find(is_one_word ? '-' : ' ', first + 1);
    if (second == std::string::npos)
        return tl::unexpected<std::string>(
            "FIVE-TUPLE is PROTOCOL SOURCE DESTINATION or PROTOCOL:SOURCE-DESTINATION");
    Tuple tuple{text.substr(0, first), text.substr(first + 1, second - first - 1), text.substr(second + 1)};
    const auto protocol = parse_protocol(tuple.protocol);
    if (!protocol) return tl::unexpected(fmt::format("\"{}\" is none of tcp, udp, icmp", tuple.protocol));
    for (const std::string& end : {tuple.source, tuple.destination}) {
        if (std::string fault = fault_of_end(end, *protocol == Protocol::icmp); !fault.empty())
            return tl::unexpected(std::move(fault));
    }
    return tuple;
}

// The options of the command, which are parameters of the query by nearly the same names.
Query query_of(const Invocation& given) {
    Query query;
    for (const Option& option : given.command->options) {
        std::string name = value_name(option.name);
        if (!given.has(name) || name == "etag") continue;
        const std::string value = given.value(name);
        std::replace(name.begin(), name.end(), '-', '_');
        query.emplace_back(std::move(name), value);
    }
    return query;
}

Query changes_since(const std::string& revision) {
    return {{"after_revision", revision}, {"wait", std::to_string(longest_poll.count())}};
}

void end_quietly(int) {
    _exit(static_cast<int>(ExitCode::ok));
}

}  // namespace

ExitCode run_status(Session& session) {
    return session.show(session.api().get(path_of({"status"}), query_of(session.invocation())), status_view);
}

ExitCode run_ready(Session& session) {
    using Steady = std::chrono::steady_clock;
    auto end = Steady::now();
    if (session.invocation().has("wait")) end += *parse_duration(session.invocation().value("wait"));
    Outcome ready = session.api().ready();
    while (!ready && ready.error().exit != ExitCode::not_permitted && Steady::now() < end) {
        std::this_thread::sleep_for(ready_pause);
        ready = session.api().ready();
    }
    return session.show(ready, [](Text& text, const Json&) { text.line("ready"); });
}

ExitCode run_plan(Session& session) {
    Outcome outcome = send_document(session, "plan");
    ExitCode exit = session.show(outcome, plan_view);
    if (outcome && !list(*outcome, "changes").empty()) return ExitCode::changes;
    return exit;
}

ExitCode run_apply(Session& session) {
    return session.show(send_document(session, "apply"), apply_view);
}

ExitCode run_confirm(Session& session) {
    return session.show(session.api().post(path_of({"confirm"}), Json::object(), session.key()),
                        confirm_view);
}

ExitCode run_rollback(Session& session) {
    Json body = Json::object();
    if (session.invocation().has("revision"))
        body["revision"] = std::stoull(session.invocation().value("revision"));
    return session.show(session.api().post(path_of({"rollback"}), body, session.key()), apply_view);
}

ExitCode run_reload(Session& session) {
    return session.show(session.api().post(path_of({"reload"}), Json::object(), session.key()), apply_view);
}

ExitCode run_get(Session& session) {
    const Invocation& given = session.invocation();
    const std::string kind = given.value("kind");
    const auto wrong_usage = [&session](const char* what) {
        return session.show(problem(ExitCode::usage, "wrong usage", what).value());
    };
    if (!given.has("name")) {
        if (given.has("etag")) return wrong_usage("NAME is missing: --etag is that of one resource");
        return session.show(session.api().get(path_of({kind}), query_of(given)), resources_view);
    }
    if (given.has("limit") || given.has("after"))
        return wrong_usage("--limit and --after are for a list, and NAME is one resource");
    const auto reply = session.api().read(path_of({kind, given.value("name")}), query_of(given));
    if (!reply) return session.show(reply.error());
    if (!given.has("etag")) return session.show(reply->body, resource_view);
    return session.show(Json{{"etag", reply->entity_tag}},
                        [](Text& text, const Json& value) { text.line(field(value, "etag")); });
}

ExitCode run_watch(Session& session) {
    std::signal(SIGINT, end_quietly);
    std::signal(SIGTERM, end_quietly);

    const Invocation& given = session.invocation();
    const bool is_kind = given.has("kind");
    const std::string path = path_of({is_kind ? given.value("kind") : "status"});
    const View view = is_kind ? resources_view : status_view;
    const std::uint64_t wanted = std::stoull(given.value("count", "0"));  // 0: without end
    Query query;
    if (given.has("since")) query = changes_since(given.value("since"));
    for (std::uint64_t shown = 0;;) {
        const auto reply = session.api().read(path, query, longest_poll + poll_margin);
        if (!reply) return session.show(reply.error());
        if (reply->revision == 0)  // there would be no end of asking
            return session.show(
                problem(ExitCode::failed, "answer not understood", "the agent does not say its revision")
                    .value());
        if (!reply->is_unchanged) {
            session.output().event({{"revision", reply->revision}, {"answer", reply->body}},
                                   [&](Text& text, const Json&) {
                                       if (shown != 0) text.line();
                                       text.line(fmt::format("revision {}", reply->revision), Tone::title);
                                       view(text, reply->body);
                                   });
            if (++shown == wanted) return ExitCode::ok;
        }
        query = changes_since(std::to_string(reply->revision));
    }
}

ExitCode run_flows(Session& session) {
    const Invocation& given = session.invocation();
    if (given.has("top") && given.has("count")) {
        return session.show(
            problem(ExitCode::usage, "wrong usage", "--top and --count exclude each other").value());
    }
    View view = given.has("inner") ? inner_flows_view : flows_view;
    if (given.has("top")) view = top_view;
    if (given.has("count")) view = flow_count_view;
    return session.show(session.api().get(path_of({"flows"}), query_of(given)), view);
}

ExitCode run_who(Session& session) {
    const Invocation& given = session.invocation();
    const std::string endpoint = given.value("address:port");
    const auto external = Endpoint::parse(endpoint);
    if (!external)
        return session.show(problem(ExitCode::usage, "wrong usage", external.error().message).value());
    Query query{{"address", external->address.to_string()}, {"port", std::to_string(external->port)}};
    for (const char* name : {"protocol", "at"}) {
        if (given.has(name)) query.emplace_back(name, given.value(name));
    }
    const Outcome outcome = session.api().get(path_of({"who"}), query);
    if (outcome && list(*outcome, "flows").empty() && list(*outcome, "port_blocks").empty()) {
        const std::string when = given.has("at") ? " at " + given.value("at") : "";
        session.output().answer(*outcome, [&](Text& text, const Json&) {
            text.line(fmt::format("nobody is known to have had {}{}", endpoint, when));
        });
        return ExitCode::failed;
    }
    return session.show(outcome, who_view);
}

ExitCode run_explain(Session& session) {
    const Invocation& given = session.invocation();
    const auto tuple = parse_tuple(given.value("five-tuple"));
    if (!tuple) return session.show(problem(ExitCode::usage, "wrong usage", tuple.error()).value());
    Query query{
        {"protocol", tuple->protocol}, {"source", tuple->source}, {"destination", tuple->destination}};
    for (const char* name : {"vpc", "flags"}) {
        if (given.has(name)) query.emplace_back(name, given.value(name));
    }
    return session.show(session.api().get(path_of({"explain"}), query), explain_view);
}

ExitCode run_monitor(Session& session) {
    // An interrupt is how this command is meant to end. Every line has been flushed, and nothing is open
    // that would have to be closed in order.
    std::signal(SIGINT, end_quietly);
    std::signal(SIGTERM, end_quietly);

    std::uint64_t wanted = std::stoull(session.invocation().value("count", "0"));  // 0: without end
    std::uint64_t shown = 0;
    Query query{{"wait", "0"}};  // without "after" the agent only tells where its list ends
    for (;;) {
        Outcome outcome = session.api().get(path_of({"drops"}), query, longest_poll + poll_margin);
        if (!outcome) return session.show(outcome.error());
        if (number(*outcome, "missed") != 0)
            session.output().event({{"missed", number(*outcome, "missed")}}, missed_view);
        for (const Json& event : list(*outcome, "events")) {
            session.output().event(event, drop_view);
            if (++shown == wanted) return ExitCode::ok;
        }
        query = {{"after", std::to_string(number(*outcome, "next"))},
                 {"wait", std::to_string(longest_poll.count())}};
    }
}

ExitCode run_detach(Session& session) {
    return session.show(session.api().post(path_of({"detach"}), Json::object(), session.key()), detach_view);
}

ExitCode run_history(Session& session) {
    return session.show(session.api().get(path_of({"history"}), query_of(session.invocation())),
                        history_view);
}

ExitCode run_version(Session& session) {
    Outcome agent = session.api().get(path_of({"version"}));
    // The agent's answer as it came, or why there is none.
    Json value{{"version", SALLYPORT_VERSION}, {"agent", agent ? *agent : Json(nullptr)}};
    if (!agent) value["problem"] = agent.error().body;
    session.output().answer(value, version_view);
    return ExitCode::ok;
}

}  // namespace sallyport::cli

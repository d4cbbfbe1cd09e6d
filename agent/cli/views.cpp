// SPDX-License-Identifier: Apache-2.0
#include "cli/views.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/kinds.h"

namespace sallyport::cli {
namespace {

constexpr std::string_view missing = "-";

// A value of any form in one line: "a, b" for lists, "key value, key value" for objects.
std::string inline_text(const Json& value) {
    switch (value.type()) {
        case Json::value_t::string:
            return value.get<std::string>();
        case Json::value_t::boolean:
            return value.get<bool>() ? "yes" : "no";
        case Json::value_t::null:
        case Json::value_t::discarded:
            return {};
        case Json::value_t::array: {
            std::string out;
            for (const Json& item : value) {
                if (!out.empty()) out += item.is_object() ? "; " : ", ";
                out += inline_text(item);
            }
            return out;
        }
        case Json::value_t::object: {
            std::string out;
            for (const auto& [key, item] : value.items()) {
                std::string text = inline_text(item);
                if (text.empty()) continue;
                out += fmt::format("{}{} {}", out.empty() ? "" : ", ", key, text);
            }
            return out;
        }
        default:
            return value.dump();
    }
}

// What one field of a resource says: a line for each route, rule or timer, else a single one.
std::vector<std::string> resource_lines(const Json& value) {
    std::vector<std::string> lines;
    if (value.is_array() && !value.empty() && value.front().is_object()) {
        for (const Json& one : value) lines.push_back(inline_text(one));
    } else if (value.is_object()) {
        for (const auto& [key, one] : value.items())
            lines.push_back(fmt::format("{} {}", key, inline_text(one)));
    } else {
        lines.push_back(inline_text(value));
    }
    if (lines.empty() || lines.front().empty()) lines.assign(1, std::string(missing));
    return lines;
}

Cell cell(const Json& object, std::string_view name, Tone tone = Tone::plain) {
    return {field(object, name, missing), tone};
}

Cell count_cell(const Json& object, std::string_view name, Tone tone_if_any = Tone::plain) {
    std::uint64_t count = number(object, name);
    return {human_count(count), count == 0 ? Tone::plain : tone_if_any};
}

Tone tone_of(std::string_view severity) {
    if (severity == "error") return Tone::bad;
    if (severity == "warning") return Tone::warning;
    return Tone::good;
}

// The fields that a list of objects shows. One object alone is shown with all of them.
std::vector<std::string_view> list_columns(model::Kind kind) {
    switch (kind) {
        case model::Kind::vpcs:
            return {"name", "origin", "cidrs"};
        case model::Kind::subnets:
            return {"name", "vpc", "cidr", "route_table", "origin", "security_groups"};
        case model::Kind::route_tables:
            return {"name", "vpc", "main", "origin", "routes"};
        case model::Kind::internet_gateways:
            return {"name", "vpc", "origin"};
        case model::Kind::elastic_ips:
            return {"name", "address", "instance", "shared_with_host", "origin"};
        case model::Kind::nat_gateways:
            return {"name", "vpc", "port_range", "origin", "elastic_ips"};
        case model::Kind::instances:
            return {"name", "subnet", "address", "origin", "security_groups"};
        case model::Kind::security_groups:
            return {"name", "vpc", "origin", "ingress"};
        case model::Kind::port_forwards:
            return {"name", "elastic_ip", "protocol", "port", "to", "origin"};
    }
    return {};
}

std::string title_of(std::string_view field_name) {
    std::string title(field_name);
    std::transform(title.begin(), title.end(), title.begin(),
                   [](unsigned char c) { return c == '_' ? ' ' : static_cast<char>(std::toupper(c)); });
    return title;
}

// A label as words: "nat gateway".
std::string spaced(std::string label) {
    std::replace(label.begin(), label.end(), '_', ' ');
    return label;
}

// A time of RFC 3339 without the fraction of a second: nobody reads that far.
std::string to_the_second(std::string time) {
    const std::size_t fraction = time.find('.');
    if (fraction == std::string::npos) return time;
    return time.erase(fraction, time.find_first_not_of("0123456789", fraction + 1) - fraction);
}

void print_warnings(Text& text, const Json& value) {
    for (const Json& warning : list(value, "warnings"))
        text.paragraph(fmt::format("warning: {}", inline_text(warning)), Tone::warning);
}

void print_confirmation(Text& text, const Json& value) {
    const auto awaited = value.find("confirmation");
    if (awaited == value.end() || !awaited->is_object()) return;
    text.paragraph(
        fmt::format("revision {} awaits confirmation until {}: then revision {} comes back, unless "
                    "`sallyport confirm` keeps it",
                    field(*awaited, "revision", missing), field(*awaited, "deadline", missing),
                    field(*awaited, "fallback", missing)),
        Tone::warning);
}

void print_changes(Text& text, const Json& value) {
    Table table({{}, {}, {}});
    for (const Json& change : list(value, "changes")) {
        std::string what = field(change, "change");
        Cell sign{"~ update", Tone::warning};
        if (what == "create") sign = {"+ create", Tone::good};
        if (what == "delete") sign = {"- delete", Tone::bad};
        table.row({sign, {field(change, "kind") + " " + field(change, "name")}, {field(change, "fields")}});
    }
    table.print(text);
}

void print_head(Text& text, const Json& value) {
    Table head({{}, {}});
    std::string name = field(value, "gateway", missing);
    head.row({{"gateway"}, {fmt::format("{} (sallyportd {})", name, field(value, "version", missing))}});
    bool ready = truth(value, "ready");
    std::string why = field(value, "why_not_ready");
    // An error has a line of its own.
    std::string reason = why.empty() || why == field(value, "error") ? "" : ": " + why;
    head.row({{"state"}, {ready ? "ready" : "not ready" + reason, ready ? Tone::good : Tone::bad}});
    std::string desired = field(value, "desired_revision", missing);
    std::string applied = field(value, "applied_revision", missing);
    head.row({{"revision"},
              desired == applied
                  ? Cell{desired + ", applied"}
                  : Cell{fmt::format("{} desired, {} applied", desired, applied), Tone::warning}});
    // What the revision is made of, where that is more than one would think.
    const Json& files = list(value, "files");
    for (std::size_t i = 0; i < files.size(); ++i)
        head.row({{i == 0 ? "files" : ""}, {files[i].get<std::string>()}});
    std::string error = field(value, "error");
    if (!error.empty()) head.row({{"error"}, {error, Tone::bad}});
    const Json& flows = part(value, "flows");
    std::uint64_t entries = number(flows, "entries");
    head.row({{"flows"},
              {fmt::format("{} active of {}, {}; table: {} {}, {}", human_count(number(flows, "active")),
                           number(flows, "capacity"), plural(number(flows, "mappings"), "mapping"),
                           human_count(entries), entries == 1 ? "entry" : "entries",
                           human_bytes(number(flows, "bytes")))}});
    head.print(text);
}

void print_devices(Text& text, const Json& devices) {
    if (devices.empty()) return;
    text.line();
    Table table({{"DEVICE"},
                 {"ROLE"},
                 {"VPC"},
                 {"XDP"},
                 {"RECEIVED", Align::right},
                 {"FORWARDED", Align::right},
                 {"PASSED", Align::right},
                 {"DROPPED", Align::right},
                 {"ANSWERED", Align::right, 1}});
    for (const Json& device : devices) {
        bool attached = truth(device, "attached");
        std::string mode = field(device, "mode", missing);
        Cell xdp = attached ? Cell{mode, mode == "native" ? Tone::good : Tone::warning}
                            : Cell{"detached", Tone::bad};
        table.row({cell(device, "device"), cell(device, "role"), cell(device, "vpc"), xdp,
                   count_cell(device, "received_packets"), count_cell(device, "forwarded"),
                   count_cell(device, "passed"), count_cell(device, "dropped"),
                   count_cell(device, "answered")});
    }
    table.print(text);
    for (const Json& device : devices) {
        std::string name = field(device, "device");
        if (std::string error = field(device, "error"); !error.empty())
            text.paragraph(fmt::format("{} is not attached: {}", name, error), Tone::bad);
        if (std::string reason = field(device, "fallback_reason"); !reason.empty())
            text.paragraph(fmt::format("{} runs in {} mode: {}", name, field(device, "mode"), reason),
                           Tone::warning);
    }
}

void print_nat_gateways(Text& text, const Json& gateways) {
    if (gateways.empty()) return;
    text.line();
    Table table({{"NAT GATEWAY"},
                 {"VPC", Align::left, 1},
                 {"TCP", Align::right},
                 {"UDP", Align::right},
                 {"ICMP", Align::right},
                 {"ATTEMPTS", Align::right},
                 {"NO PORT", Align::right},
                 {"ELASTIC IPS"}});
    for (const Json& gateway : gateways) {
        const Json& flows = part(gateway, "active_flows");
        table.row({cell(gateway, "name"), cell(gateway, "vpc"), count_cell(flows, "tcp"),
                   count_cell(flows, "udp"), count_cell(flows, "icmp"), count_cell(gateway, "flow_attempts"),
                   count_cell(gateway, "port_allocation_errors", Tone::bad), cell(gateway, "elastic_ips")});
    }
    table.print(text);
}

std::string drained_or_draining(const Json& drain) {
    const std::string name = field(drain, "elastic_ip", missing);
    if (field(drain, "state") == "drained")
        return fmt::format("Elastic IP {} is drained: no flow is left, and it takes no new ones", name);
    const std::string deadline = to_the_second(field(drain, "deadline"));
    return fmt::format("Elastic IP {} is being drained: it takes no new flows, and {}", name,
                       deadline.empty() ? "keeps those that it has for as long as they last"
                                        : fmt::format("those that are left at {} end", deadline));
}

void print_elastic_ips(Text& text, const Json& addresses) {
    if (addresses.empty()) return;
    text.line();
    Table table({{"ELASTIC IP"},
                 {"ADDRESS"},
                 {"NAT GATEWAY"},
                 {"INSTANCE"},
                 {"TCP PORTS", Align::right},
                 {"UDP PORTS", Align::right},
                 {"ICMP IDS", Align::right}});
    for (const Json& address : addresses) {
        const Json& ports = part(address, "ports_in_use");
        table.row({cell(address, "name"), cell(address, "address"), cell(address, "nat_gateway"),
                   cell(address, "instance"), count_cell(ports, "tcp"), count_cell(ports, "udp"),
                   count_cell(ports, "icmp")});
    }
    table.print(text);
    for (const Json& address : addresses) {
        const Json& drain = part(address, "drain");
        if (drain.empty()) continue;
        text.paragraph(drained_or_draining(drain), Tone::warning);
    }
}

void print_top(Text& text, const Json& hosts) {
    Table table({{"INSIDE"}, {"VPC"}, {"FLOWS", Align::right}, {"BYTES", Align::right}});
    for (const Json& host : hosts) {
        table.row({cell(host, "inside"),
                   cell(host, "vpc"),
                   count_cell(host, "flows"),
                   {human_bytes(number(host, "bytes"))}});
    }
    table.print(text);
}

void print_drops(Text& text, const Json& drops) {
    text.line();
    if (drops.empty()) {
        text.line("nothing was dropped");
        return;
    }
    Table table({{"DROPPED", Align::right}, {"REASON"}, {"WHICH MEANS"}});
    for (const Json& drop : drops)
        table.row({count_cell(drop, "count"), cell(drop, "reason"), cell(drop, "text", Tone::faint)});
    table.print(text);
}

void next_page(Text& text, const Json& value) {
    if (const std::string next = field(value, "next"); !next.empty())
        text.line(fmt::format("more: --after {}", next), Tone::faint);
}

void tell_of_more(Text& text, const Json& value, std::size_t shown) {
    if (const std::uint64_t total = number(value, "total"); total > shown)
        text.line(fmt::format("{} of {} flows; --limit shows more", shown, total), Tone::faint);
}

}  // namespace

std::string field(const Json& object, std::string_view name, std::string_view otherwise) {
    std::string text;
    if (object.is_object()) {
        if (auto found = object.find(std::string(name)); found != object.end()) text = inline_text(*found);
    }
    return text.empty() ? std::string(otherwise) : text;
}

std::uint64_t number(const Json& object, std::string_view name) {
    if (!object.is_object()) return 0;
    auto found = object.find(std::string(name));
    if (found == object.end() || !found->is_number()) return 0;
    if (found->is_number_unsigned()) return found->get<std::uint64_t>();
    return static_cast<std::uint64_t>(std::max(0.0, found->get<double>()));
}

bool truth(const Json& object, std::string_view name) {
    if (!object.is_object()) return false;
    auto found = object.find(std::string(name));
    return found != object.end() && found->is_boolean() && found->get<bool>();
}

const Json& list(const Json& object, std::string_view name) {
    static const Json empty = Json::array();
    if (!object.is_object()) return empty;
    auto found = object.find(std::string(name));
    return found != object.end() && found->is_array() ? *found : empty;
}

const Json& part(const Json& object, std::string_view name) {
    static const Json empty = Json::object();
    if (!object.is_object()) return empty;
    auto found = object.find(std::string(name));
    return found != object.end() && found->is_object() ? *found : empty;
}

void status_view(Text& text, const Json& value) {
    print_head(text, value);
    print_devices(text, list(value, "devices"));
    print_nat_gateways(text, list(value, "nat_gateways"));
    print_elastic_ips(text, list(value, "elastic_ips"));
    print_drops(text, list(value, "drops"));
    print_confirmation(text, value);
    print_warnings(text, value);
}

void plan_view(Text& text, const Json& value) {
    if (list(value, "changes").empty()) {
        text.line("no changes");
    } else {
        print_changes(text, value);
        // An agent of a time before this was counted says nothing of it; what cannot be told has a warning.
        if (value.contains("flows_cut") && value["flows_cut"].is_number()) {
            const std::uint64_t cut = number(value, "flows_cut");
            text.line(fmt::format("would cut {}", plural(cut, "flow")),
                      cut == 0 ? Tone::plain : Tone::warning);
        }
    }
    print_warnings(text, value);
}

void apply_view(Text& text, const Json& value) {
    if (list(value, "changes").empty()) {
        text.line(fmt::format("no changes; revision {} stands", field(value, "revision", missing)));
    } else {
        print_changes(text, value);
        text.line(fmt::format("revision {} applied", field(value, "revision", missing)), Tone::good);
    }
    print_confirmation(text, value);
    print_warnings(text, value);
}

void created_view(Text& text, model::Kind kind, const std::string& name) {
    text.line(fmt::format("{} {} {}", text.paint("created", Tone::good), model::word_for(kind), name));
}

void changed_view(Text& text, model::Kind kind, const std::string& name) {
    text.line(fmt::format("{} {} {}", text.paint("changed", Tone::warning), model::word_for(kind), name));
}

void deleted_view(Text& text, model::Kind kind, const std::string& name) {
    text.line(fmt::format("{} {} {}", text.paint("deleted", Tone::bad), model::word_for(kind), name));
}

void association_view(Text& text, const Json& value) {
    const std::string instance = field(value, "instance");
    text.line(fmt::format("Elastic IP {} ({}) belongs to {}", field(value, "name", missing),
                          field(value, "address", missing),
                          instance.empty() ? "no instance" : "instance " + instance));
}

void drain_view(Text& text, const Json& value) {
    text.paragraph(drained_or_draining(value));
    const std::uint64_t left = number(value, "remaining_flows");
    if (left == 0) return;
    text.line(fmt::format("{} left", plural(left, "flow")));
    text.line();
    print_top(text, list(value, "top"));
}

void confirm_view(Text& text, const Json& value) {
    text.line(fmt::format("revision {} confirmed", field(value, "revision", missing)), Tone::good);
}

void flows_view(Text& text, const Json& value) {
    const Json& flows = list(value, "flows");
    if (flows.empty()) {
        text.line("no flows");
        return;
    }
    Table table({{"PROTO"},
                 {"INSIDE"},
                 {"EXTERNAL"},
                 {"REMOTE"},
                 {"STATE"},
                 {"IDLE", Align::right, 1},
                 {"OUT", Align::right, 2},
                 {"IN", Align::right, 2},
                 {"NAT GATEWAY", Align::left, 3},
                 {"VPC", Align::left, 4}});
    for (const Json& flow : flows) {
        table.row({cell(flow, "protocol"),
                   cell(flow, "inside"),
                   cell(flow, "external"),
                   cell(flow, "remote"),
                   cell(flow, "state"),
                   {human_duration(number(flow, "idle_seconds"))},
                   {human_bytes(number(flow, "bytes_out"))},
                   {human_bytes(number(flow, "bytes_in"))},
                   cell(flow, "nat_gateway"),
                   cell(flow, "vpc")});
    }
    table.print(text);
    tell_of_more(text, value, flows.size());
}

void inner_flows_view(Text& text, const Json& value) {
    const Json& flows = list(value, "inner_flows");
    if (flows.empty()) {
        text.line("no flows");
        return;
    }
    Table table(
        {{"PROTO"}, {"OPENER"}, {"ANSWERER"}, {"STATE"}, {"IDLE", Align::right, 1}, {"VPC", Align::left, 2}});
    for (const Json& flow : flows) {
        table.row({cell(flow, "protocol"),
                   cell(flow, "opener"),
                   cell(flow, "answerer"),
                   cell(flow, "state"),
                   {human_duration(number(flow, "idle_seconds"))},
                   cell(flow, "vpc")});
    }
    table.print(text);
    tell_of_more(text, value, flows.size());
}

void flow_count_view(Text& text, const Json& value) {
    text.line(std::to_string(number(value, "count")));
}

void top_view(Text& text, const Json& value) {
    const Json& top = list(value, "top");
    if (top.empty()) {
        text.line("no flows");
        return;
    }
    print_top(text, top);
}

void who_view(Text& text, const Json& value) {
    const Json& flows = list(value, "flows");
    const Json& blocks = list(value, "port_blocks");
    if (!flows.empty()) flows_view(text, value);
    if (blocks.empty()) return;
    if (!flows.empty()) text.line();
    Table table({{"INSTANCE"},
                 {"PORTS"},
                 {"FROM"},
                 {"UNTIL"},
                 {"VPC", Align::left, 1},
                 {"NAT GATEWAY", Align::left, 2}});
    for (const Json& block : blocks) {
        table.row(
            {cell(block, "instance"),
             {fmt::format("{}-{}", field(block, "first_port", missing), field(block, "last_port", missing))},
             {to_the_second(field(block, "from", missing))},
             {to_the_second(field(block, "until", "still allocated"))},
             cell(block, "vpc"),
             cell(block, "nat_gateway")});
    }
    table.print(text);
}

void explain_view(Text& text, const Json& value) {
    Table steps({{"STAGE"}, {"NAME"}, {"WHAT IS FOUND"}});
    for (const Json& step : list(value, "steps"))
        steps.row({{spaced(field(step, "stage", missing))}, cell(step, "name"), cell(step, "text")});
    steps.print(text);
    text.line();
    const std::string verdict = field(value, "verdict", missing);
    if (verdict == "forward") {
        const Json& leaves = part(value, "translation");
        text.line(fmt::format("{}: {} > {}", text.paint(verdict, Tone::good),
                              field(leaves, "source", missing), field(leaves, "destination", missing)));
    } else if (verdict == "drop") {
        text.paragraph(fmt::format("{}: {}: {}", verdict, field(value, "reason", missing),
                                   field(value, "text", missing)),
                       Tone::bad);
        const std::string told = field(value, "told");
        text.line(told.empty() ? std::string("the sender is told nothing")
                               : fmt::format("the sender is told: {}", told));
    } else {
        text.line(
            fmt::format("{}: the host's own network stack gets it", text.paint(verdict, Tone::warning)));
    }
}

void drop_view(Text& text, const Json& value) {
    std::string time = field(value, "time", missing);  // of RFC 3339 the time of day is enough to look at
    if (std::size_t start = time.find('T'); start != std::string::npos) time = time.substr(start + 1, 8);
    text.line(fmt::format(
        "{} {} {} {} > {} {} {}", time, field(value, "device", missing), field(value, "protocol", missing),
        field(value, "source", missing), field(value, "destination", missing),
        text.paint(field(value, "reason", missing), Tone::bad), plural(number(value, "length"), "byte")));
}

void missed_view(Text& text, const Json& value) {
    text.line(fmt::format("... {} not shown", plural(number(value, "missed"), "event")), Tone::warning);
}

void captured_view(Text& text, const Json& value) {
    std::string time = field(value, "time", missing);
    if (std::size_t start = time.find('T'); start != std::string::npos) time = time.substr(start + 1, 15);
    const std::string point = field(value, "point", missing);
    text.line(
        fmt::format("{} {} {} {}", time, field(value, "device", missing),
                    text.paint(fmt::format("{:<8}", point), point == "dropped" ? Tone::bad : Tone::plain),
                    plural(number(value, "length"), "byte")));
}

void detach_view(Text& text, const Json& value) {
    std::string devices = field(value, "detached");
    if (devices.empty()) {
        text.line("nothing was attached");
        return;
    }
    text.line(fmt::format("detached from {}; reload or apply attaches again", devices));
}

void doctor_view(Text& text, const Json& value) {
    std::uint64_t errors = 0;
    std::uint64_t warnings = 0;
    for (const Json& check : list(value, "checks")) {
        std::string severity = field(check, "severity", missing);
        if (severity == "error") ++errors;
        if (severity == "warning") ++warnings;
        text.line(fmt::format("{}{} ({}): {}", text.paint(fmt::format("{:<9}", severity), tone_of(severity)),
                              field(check, "check", missing), field(check, "subject", missing),
                              field(check, "found", missing)));
        if (severity == "ok") continue;
        text.indented(field(check, "text"), 9);
        // On one line however long it is, so that it can be copied.
        if (std::string mend = field(check, "mend"); !mend.empty())
            text.line(fmt::format("{:9}mend: {}", "", text.paint(mend, Tone::title)));
    }
    text.line();
    if (errors + warnings == 0) {
        text.line("nothing to mend", Tone::good);
    } else {
        text.line(fmt::format("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
                  errors > 0 ? Tone::bad : Tone::warning);
    }
}

void history_view(Text& text, const Json& value) {
    const Json& revisions = list(value, "revisions");
    if (revisions.empty()) {
        text.line("no revisions");
        return;
    }
    Table table({{"REVISION", Align::right}, {"TIME"}, {"SOURCE"}, {"CHANGES", Align::right}, {"BY"}});
    for (const Json& revision : revisions) {
        table.row({cell(revision, "revision"),
                   {to_the_second(field(revision, "time", missing))},
                   cell(revision, "source"),
                   count_cell(revision, "changes"),
                   cell(revision, "actor")});
    }
    table.print(text);
    next_page(text, value);
}

void version_view(Text& text, const Json& value) {
    text.line("sallyport  " + field(value, "version", missing));
    const Json& agent = part(value, "agent");
    if (!agent.empty()) {
        text.line("sallyportd " + field(agent, "version", missing));
    } else {
        text.paragraph("sallyportd not known: " + field(part(value, "problem"), "detail", missing),
                       Tone::warning);
    }
}

void resource_view(Text& text, const Json& value) {
    Table table({{}, {}});
    auto add = [&table](const std::string& name, const Json& item) {
        std::string key = name;
        for (const std::string& line : resource_lines(item)) {
            table.row({{key, Tone::title}, {line}});
            key.clear();
        }
    };
    if (value.contains("name")) add("name", value["name"]);
    for (const auto& [name, item] : value.items()) {
        if (name != "name") add(name, item);
    }
    table.print(text);
}

void resources_view(Text& text, const Json& value) {
    for (const model::Kind kind : model::all_kinds) {
        if (!value.contains(std::string(to_string(kind)))) continue;
        const Json& objects = list(value, to_string(kind));
        if (objects.empty()) {
            text.line(fmt::format("no {}", to_string(kind)));
            return;
        }
        const std::vector<std::string_view> names = list_columns(kind);
        std::vector<Column> columns;
        columns.reserve(names.size());
        for (std::string_view name : names) columns.push_back({title_of(name)});
        Table table(std::move(columns));
        for (const Json& object : objects) {
            std::vector<Cell> cells;
            cells.reserve(names.size());
            for (std::string_view name : names) cells.push_back(cell(object, name));
            table.row(std::move(cells));
        }
        table.print(text);
        next_page(text, value);
    }
}

std::string fault_line(const Json& fault) {
    std::string out = field(fault, "file");
    if (number(fault, "line") != 0)
        out += fmt::format(":{}:{}", number(fault, "line"), number(fault, "column"));
    auto add = [&out](std::string_view next) {
        if (!next.empty()) out += fmt::format("{}{}", out.empty() ? "" : ": ", next);
    };
    if (field(fault, "severity") == "warning") add("warning");
    add(field(fault, "path"));
    add(field(fault, "message"));
    return out;
}

void faults_view(Text& text, const Json& value) {
    for (const Json& fault : value)
        text.line(fault_line(fault), field(fault, "severity") == "warning" ? Tone::warning : Tone::plain);
}

}  // namespace sallyport::cli

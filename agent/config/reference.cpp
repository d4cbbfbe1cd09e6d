// SPDX-License-Identifier: Apache-2.0
#include "config/reference.h"

#include <fmt/format.h>

#include "config/load.h"
#include "config/schema.h"
#include "config/wanted.h"
#include "model/in_force.h"
#include "model/json_values.h"

namespace sallyport::config {
namespace {

template <typename T>
struct Inner {  // what a list or an optional value holds
    using Type = T;
    static constexpr bool list = false;
};
template <typename T>
struct Inner<std::vector<T>> {
    using Type = T;
    static constexpr bool list = true;
};
template <typename T>
struct Inner<std::optional<T>> : Inner<T> {};
template <typename T>
struct Inner<std::optional<std::vector<T>>> : Inner<std::vector<T>> {};

// A value in the flow style of YAML.
std::string as_yaml(const nlohmann::json& value) {
    if (value.is_object()) {
        std::string text;
        for (const auto& [key, member] : value.items()) {
            text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", key, as_yaml(member));
        }
        return fmt::format("{{ {} }}", text);
    }
    return value.is_string() ? value.get<std::string>() : value.dump();
}

template <typename T>
void add_section(std::vector<SectionReference>& sections, std::string path, std::string_view help) {
    SectionReference section{std::move(path), std::string(help), {}, {}};
    if constexpr (requires { model::Schema<T>::one_of; }) {
        section.one_of.assign(model::Schema<T>::one_of.begin(), model::Schema<T>::one_of.end());
    }
    const T defaults{};
    model::visit_fields<T>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        constexpr bool is_section = model::Described<typename Inner<Value>::Type>;
        constexpr bool is_list = Inner<Value>::list;
        SettingReference setting{
            std::string(field.name), {}, field.need == model::Need::required, {}, std::string(field.help)};
        if constexpr (is_section && !std::is_same_v<Value, model::PerProtocol>) {
            setting.wanted = is_list ? "a list of maps, see below" : "a map, see below";
        } else {
            setting.wanted = wanted<Value>(field);
            const nlohmann::json value = model::value_to_json(field.get(defaults));
            const bool unset = value.is_null() || value.empty() || value == "";
            if (!setting.required && !unset) setting.default_text = as_yaml(value);
        }
        section.settings.push_back(std::move(setting));
    });
    const std::string outer = section.path;
    sections.push_back(std::move(section));
    model::visit_fields<T>([&](const auto& field) {
        using Value = typename std::remove_cvref_t<decltype(field)>::Value;
        using Member = typename Inner<Value>::Type;
        if constexpr (model::Described<Member> && !std::is_same_v<Value, model::PerProtocol>) {
            add_section<Member>(sections,
                                fmt::format("{}{}{}{}", outer, outer.empty() ? "" : ".", field.name,
                                            Inner<Value>::list ? "[]" : ""),
                                field.help);
        }
    });
}

std::string one_of_sentence(const SectionReference& section) {
    return fmt::format("Exactly one of {} is given.",
                       joined({section.one_of.begin(), section.one_of.end()}, "and"));
}

constexpr std::string_view introduction =
    "The configuration file of the Sallyport gateway is one YAML document in UTF-8 without anchors, aliases "
    "and tags. It is read strictly: an unknown or duplicate key, a wrong type or unit, a reference to "
    "something that is not there or prefixes that overlap are faults. All of them are reported at once, and "
    "nothing is changed. `sallyport check FILE` reads a file without touching the gateway, `sallyport plan "
    "FILE` shows what it would change.";

constexpr std::string_view fragments_text =
    "The directory `sallyport.d` beside the configuration file may hold parts of it: files that are called "
    "`*.yaml`, and not hidden, in the order of the bytes of their names. Each has `api_version` and lists of "
    "objects; `gateway` and `api` are in the configuration file alone. All of them together are one "
    "document: "
    "objects refer to each other across files, and a name is given once. The agent reads them at its start "
    "and "
    "with `sallyport reload`. Where one has faults or cannot be read, none of them is taken, and what runs "
    "stays.";

constexpr std::string_view notation =
    "Names are 1 to 63 of a-z, 0-9 and `-`, with no `-` at the ends, and unique among objects of one kind. "
    "Durations are whole numbers with a unit (`s`, `m`, `h`, `d`), the larger first: `2h4m`. Prefixes have "
    "no host bits set.";

std::string vain_sentence() {
    return fmt::format(
        "The file may already declare what this version does not carry out: {}. `sallyport check` and "
        "`sallyport status` warn of each that is declared.",
        joined(model::kinds_not_in_force(), "and"));
}

// Text with `…` in roff: what is typed is bold, and what roff would take for a command is protected.
std::string as_roff(std::string_view text) {
    std::string result;
    bool typed = false;
    for (const char character : text) {
        switch (character) {
            case '`':
                typed = !typed;
                result += typed ? "\\fB" : "\\fR";
                break;
            case '\\':
                result += "\\e";
                break;
            case '-':
                result += "\\-";
                break;
            case '\'':
                result += "\\(aq";
                break;
            default:
                result += character;
        }
    }
    return result.starts_with('.') ? "\\&" + result : result;
}

std::string facts_sentence(const SettingReference& setting) {
    // No capital letter: where words are wanted, they are written as they stand here.
    std::string text = "Value: " + setting.wanted;
    if (setting.required) text += "; required";
    if (setting.default_text) text += fmt::format("; default: `{}`", *setting.default_text);
    return text + ".";
}

}  // namespace

std::vector<SectionReference> reference() {
    std::vector<SectionReference> sections;
    add_section<Root>(sections, {}, "The whole file.");
    return sections;
}

std::string reference_markdown() {
    std::string text = fmt::format("# sallyport.yaml\n\n{}\n\n{}\n", introduction, notation);
    for (const SectionReference& section : reference()) {
        text += fmt::format("\n## {}\n\n{}", section.path.empty() ? "The file" : "`" + section.path + "`",
                            section.help);
        if (!section.one_of.empty()) text += " " + one_of_sentence(section);
        text += "\n\n| key | value | default | meaning |\n|---|---|---|---|\n";
        for (const SettingReference& setting : section.settings) {
            const std::string_view none = setting.required ? "required" : "";
            text +=
                fmt::format("| `{}` | {} | {} | {} |\n", setting.name, setting.wanted,
                            setting.default_text ? "`" + *setting.default_text + "`" : none, setting.help);
        }
    }
    text += fmt::format("\n## Fragments\n\n{}\n", fragments_text);
    text += fmt::format("\n## Not in this version\n\n{}\n", vain_sentence());
    return text;
}

std::string reference_man() {
    std::string text = fmt::format(
        ".TH SALLYPORT.YAML 5 \"\" Sallyport \"Sallyport Manual\"\n"
        ".SH NAME\nsallyport.yaml \\- configuration of the Sallyport NAT gateway\n"
        ".SH SYNOPSIS\n.I /etc/sallyport/sallyport.yaml\n"
        ".SH DESCRIPTION\n{}\n.PP\n{}\n.SH SETTINGS\n",
        as_roff(introduction), as_roff(notation));
    for (const SectionReference& section : reference()) {
        text += fmt::format(".SS {}\n{}\n", section.path.empty() ? "The file" : as_roff(section.path),
                            as_roff(section.help));
        if (!section.one_of.empty()) text += as_roff(one_of_sentence(section)) + "\n";
        for (const SettingReference& setting : section.settings) {
            text += fmt::format(".TP\n.B {}\n{}\n.br\n{}\n", as_roff(setting.name), as_roff(setting.help),
                                as_roff(facts_sentence(setting)));
        }
    }
    text += fmt::format(".SH NOT IN THIS VERSION\n{}\n", as_roff(vain_sentence()));
    text += ".SH FRAGMENTS\n" + as_roff(fragments_text) +
            "\n.SH FILES\n.I /etc/sallyport/sallyport.yaml\n.br\n.I /etc/sallyport/sallyport.d/*.yaml\n"
            ".SH SEE ALSO\n.BR sallyport (1),\n.BR sallyportd (8)\n";
    return text;
}

}  // namespace sallyport::config

// SPDX-License-Identifier: Apache-2.0
#include "control/candidate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/object.h"
#include "model/kinds.h"

namespace sallyport::control {
namespace {

config::Sources sources_of(const store::Document& document) {
    config::Sources sources{{document.name, document.text}};
    for (const store::Fragment& fragment : document.fragments)
        sources.push_back({fragment.name, fragment.text});
    return sources;
}

}  // namespace

tl::unexpected<Refusal> failed(const Error& error) {
    return tl::unexpected(Refusal{Refusal::Kind::failed, error.message, {}});
}

tl::unexpected<Refusal> conflict(std::string why) {
    return tl::unexpected(Refusal{Refusal::Kind::conflict, std::move(why), {}});
}

std::string counted_faults(const std::vector<config::Fault>& faults) {
    return fmt::format("{} fault{}", faults.size(), faults.size() == 1 ? "" : "s");
}

std::vector<std::string> texts_of(const std::vector<config::Fault>& faults) {
    std::vector<std::string> texts;
    texts.reserve(faults.size());
    for (const config::Fault& fault : faults) texts.push_back(fault.to_string());
    return texts;
}

std::vector<model::Object> kept_objects(const model::DesiredState& state, bool prune) {
    if (prune) return {};
    return model::objects_of(state, model::Origin::api);
}

tl::unexpected<Refusal> invalid(const std::string& name, std::vector<config::Fault> faults) {
    const std::string message = fmt::format("{} is not valid: {}", name, counted_faults(faults));
    return tl::unexpected(Refusal{Refusal::Kind::invalid, message, std::move(faults)});
}

std::shared_ptr<const model::DesiredState> share(model::DesiredState state) {
    return std::make_shared<const model::DesiredState>(std::move(state));
}

store::Document document_of(const config::Sources& sources) {
    store::Document document{sources.front().name, sources.front().text, {}};
    for (std::size_t i = 1; i < sources.size(); ++i)
        document.fragments.push_back({sources[i].name, sources[i].text});
    return document;
}

std::string digest_of(const config::Sources& sources) {
    return store::digest(document_of(sources));
}

bool have_same_texts(const config::Sources& a, const config::Sources& b) {
    return std::ranges::equal(a, b, {}, &config::Source::text, &config::Source::text);
}

Outcome<Candidate> read_candidate(config::Sources sources, const std::vector<model::Object>& objects) {
    auto file = config::load_sources(sources);
    if (!file) return invalid(config::describe(sources), std::move(file.error()));
    auto joined = config::join(*file, sources, objects);
    if (!joined) {
        std::string message = fmt::format(
            "{} does not go with the objects that were made through the API: {}. Change or delete those "
            "objects first, or apply the file with --prune, which deletes all of them",
            config::describe(sources), counted_faults(joined.error()));
        return tl::unexpected(
            Refusal{Refusal::Kind::conflict, std::move(message), std::move(joined.error())});
    }
    return Candidate{std::move(sources), *std::move(joined), std::move(file->warnings)};
}

Outcome<Candidate> read_candidate(const store::Revision& revision,
                                  const std::vector<model::Object>& objects) {
    auto candidate = read_candidate(sources_of(revision.document), objects);
    // An older version accepted it and this one does not.
    if (!candidate) return invalid(fmt::format("revision {}", revision.number), candidate.error().faults);
    return candidate;
}

Outcome<std::vector<model::Object>> read_objects(const store::Revision& revision) {
    std::vector<model::Object> objects;
    objects.reserve(revision.objects.size());
    std::vector<config::Fault> faults;
    for (const store::ObjectText& text : revision.objects) {
        const std::optional<model::Kind> kind = model::parse_kind(text.kind);
        if (!kind) {
            faults.push_back({{}, 0, 0, {}, {}, {}, fmt::format("there is no kind of object {}", text.kind)});
            continue;
        }
        auto object = config::read_object_text(*kind, text.text);
        if (object) {
            objects.push_back(*std::move(object));
            continue;
        }
        for (config::Fault& fault : object.error()) {
            fault.message = fmt::format("{}: {}", model::describe(*kind, text.name), fault.message);
            faults.push_back(std::move(fault));
        }
    }
    if (!faults.empty())
        return invalid(fmt::format("what revision {} holds of the API", revision.number), std::move(faults));
    return objects;
}

Outcome<Opening> find_opening(store::Store& store, const std::string& config_path) {
    Result<config::Sources> sources = config::read_sources(config_path);
    if (!sources) return failed(sources.error());
    Result<std::optional<store::Revision>> newest = store.newest();
    if (!newest) return failed(newest.error());
    const Result<std::string> loaded_hash = store.loaded_file_hash();
    if (!loaded_hash) return failed(loaded_hash.error());

    const bool read_already = *loaded_hash == digest_of(*sources);
    Opening opening;
    std::vector<model::Object> objects;
    if (*newest) {
        const store::Revision& revision = **newest;
        opening.store_revision = revision.number;
        auto of_api = read_objects(revision);
        if (!of_api) return tl::unexpected(std::move(of_api.error()));
        objects = *std::move(of_api);
        auto candidate = read_candidate(revision, objects);
        if (candidate) {
            opening.store_state = share(candidate->loaded.state);
            if (read_already) {
                if (have_same_texts(candidate->sources, *sources)) {
                    opening.api = candidate->loaded.api;
                } else if (auto file = config::load_sources(*sources)) {
                    opening.api = std::move(file->api);
                }
                static_cast<Candidate&>(opening) = *std::move(candidate);
                return opening;
            }
        } else if (read_already && !have_same_texts(sources_of(revision.document), *sources)) {
            // An older version accepted it and this one does not. Taking the file instead would silently undo
            // what was applied.
            return tl::unexpected(std::move(candidate.error()));
        }
    }
    auto candidate = read_candidate(*std::move(sources), objects);
    if (!candidate) return tl::unexpected(std::move(candidate.error()));
    opening.api = candidate->loaded.api;
    static_cast<Candidate&>(opening) = *std::move(candidate);
    opening.from_file = true;
    return opening;
}

}  // namespace sallyport::control

// SPDX-License-Identifier: Apache-2.0
#include "dataplane/attacher.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <algorithm>

#include "dataplane/programs.h"

namespace sallyport::dataplane {
namespace {

std::uint32_t attach_flags(Mode mode) {
    return mode == Mode::native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

bool agrees(ModeWish wish, Mode mode) {
    return wish == ModeWish::automatic || (wish == ModeWish::native) == (mode == Mode::native);
}

// Interface that a link holds its program on; 0 when the interface is gone.
Result<std::uint32_t> ifindex_of(int link) {
    bpf_link_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(link, &info, &length) != 0)
        return system_failure("ask the link for its device");
    if (info.type != BPF_LINK_TYPE_XDP) return failure("the pinned link is not one of XDP");
    return info.xdp.ifindex;
}

std::shared_ptr<const UniqueFd> share(UniqueFd link) {
    return std::make_shared<const UniqueFd>(std::move(link));
}

Result<Mode> mode_of(std::uint32_t ifindex) {
    LIBBPF_OPTS(bpf_xdp_query_opts, query);
    if (const int error = bpf_xdp_query(static_cast<int>(ifindex), 0, &query); error != 0) {
        return system_failure("ask the device for its XDP mode", -error);
    }
    return query.attach_mode == XDP_ATTACHED_SKB ? Mode::generic : Mode::native;
}

// Why a device that was attached already is in generic mode, where nobody asked for that.
void explain_mode(Attachment& attachment, ModeWish wish) {
    if (wish != ModeWish::automatic || attachment.mode == Mode::native) {
        attachment.fallback_reason.clear();
    } else if (attachment.fallback_reason.empty()) {
        attachment.fallback_reason =
            "it was in generic mode before, and changing that would "
            "interrupt traffic; `sallyport detach` makes room for a new try";
    }
}

Result<UniqueFd> create_link(int program, std::uint32_t ifindex, Mode mode) {
    LIBBPF_OPTS(bpf_link_create_opts, options);
    options.flags = attach_flags(mode);
    UniqueFd link(bpf_link_create(program, static_cast<int>(ifindex), BPF_XDP, &options));
    if (link) return link;
    const int error = errno;
    if (error == EBUSY || error == EEXIST) {
        return failure("another XDP program is on the device; `ip link set dev DEVICE xdp off` removes it",
                       error);
    }
    return system_failure(mode == Mode::native ? "attach in native mode" : "attach in generic mode", error);
}

Attachment attachment_for(const AttachRequest& request) {
    Attachment attachment;
    attachment.slot = request.slot;
    attachment.name = request.name;
    attachment.ifindex = request.ifindex;
    return attachment;
}

Result<void> remove_pin(const std::string& path) {
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure("remove " + path);
    return {};
}

}  // namespace

Result<std::vector<Attachment>> Attacher::attach(std::span<const AttachRequest> wanted, ModeWish mode) {
    const auto is_wanted = [&](const std::string& device) {
        return std::any_of(wanted.begin(), wanted.end(),
                           [&](const AttachRequest& r) { return r.name == device; });
    };
    const auto linked = state_.linked_devices();
    if (!linked) return tl::make_unexpected(linked.error());
    for (const std::string& device : *linked) {
        if (is_wanted(device)) continue;
        if (auto detached = detach(device); !detached) return tl::make_unexpected(detached.error());
    }
    std::vector<Attachment> result;
    for (const AttachRequest& request : wanted) attach_into(request, mode, result.emplace_back());
    if (mode == ModeWish::automatic) level_modes(wanted, result);
    return result;
}

void Attacher::attach_into(const AttachRequest& request, ModeWish mode, Attachment& result) {
    auto attached = attach_one(request, mode);
    if (attached) {
        result = attached->attachment;
        attached_[request.name] = std::move(*attached);
    } else {
        result = attachment_for(request);
        result.error = attached.error().message;
    }
}

// A driver that cannot run XDP cannot take frames from it either (ndo_xdp_xmit): what a device in native mode
// sends to it is lost. From generic mode it goes through the device's usual queue.
void Attacher::level_modes(std::span<const AttachRequest> wanted, std::vector<Attachment>& result) {
    const auto generic = std::ranges::find_if(result, [](const Attachment& attachment) {
        return attachment.error.empty() && attachment.mode == Mode::generic;
    });
    if (generic == result.end()) return;
    const std::string name = generic->name;
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (!result[i].error.empty() || result[i].mode == Mode::generic) continue;
        attach_into(wanted[i], ModeWish::generic, result[i]);
        if (!result[i].error.empty()) continue;
        result[i].fallback_reason =
            fmt::format("{} is in generic mode, and takes no frames from a device in native mode", name);
        attached_.at(wanted[i].name).attachment.fallback_reason = result[i].fallback_reason;
    }
}

Result<Attacher::Attached> Attacher::attach_one(const AttachRequest& request, ModeWish mode) {
    const std::string link_path = state_.link_path(request.name);
    const auto known = attached_.find(request.name);
    UniqueFd link(bpf_obj_get(link_path.c_str()));
    if (!link && errno != ENOENT) return system_failure("open " + link_path);

    if (link) {
        const auto ifindex = ifindex_of(link.get());
        if (!ifindex) return tl::make_unexpected(ifindex.error());
        Mode present = Mode::native;
        if (*ifindex == request.ifindex) {
            const auto asked = mode_of(*ifindex);
            if (!asked) return tl::make_unexpected(asked.error());
            present = *asked;
        }
        if (*ifindex == request.ifindex && agrees(mode, present)) {
            if (known != attached_.end() && known->second.request == request) {
                Attached same{request, known->second.attachment, share(std::move(link)),
                              std::move(known->second.program)};
                explain_mode(same.attachment, mode);
                return same;
            }
            auto program = load_and_pin(request);
            if (!program) return tl::make_unexpected(program.error());
            if (bpf_link_update(link.get(), program->get(), nullptr) != 0) {
                return system_failure("replace the program");
            }
            Attached adopted{request, attachment_for(request), share(std::move(link)), std::move(*program)};
            adopted.attachment.mode = present;
            adopted.attachment.adopted = true;
            if (known != attached_.end()) {
                adopted.attachment.fallback_reason = known->second.attachment.fallback_reason;
            }
            explain_mode(adopted.attachment, mode);
            return adopted;
        }
        // The interface is gone, another has its name now, or the mode must change, which cannot be done
        // in one step.
        link.reset();
        if (auto detached = detach(request.name); !detached) return tl::make_unexpected(detached.error());
    }

    auto program = load_and_pin(request);
    if (!program) return tl::make_unexpected(program.error());
    Attached fresh{request, attachment_for(request), nullptr, std::move(*program)};
    auto created = create_link(fresh.program.get(), request.ifindex,
                               mode == ModeWish::generic ? Mode::generic : Mode::native);
    fresh.attachment.mode = mode == ModeWish::generic ? Mode::generic : Mode::native;
    if (!created && mode == ModeWish::automatic && created.error().code != EBUSY &&
        created.error().code != EEXIST) {
        fresh.attachment.fallback_reason = created.error().message;
        fresh.attachment.mode = Mode::generic;
        created = create_link(fresh.program.get(), request.ifindex, Mode::generic);
    }
    if (!created) return tl::make_unexpected(created.error());
    if (bpf_obj_pin(created->get(), link_path.c_str()) != 0) return system_failure("pin " + link_path);
    fresh.link = share(std::move(*created));
    return fresh;
}

Result<UniqueFd> Attacher::load_and_pin(const AttachRequest& request) {
    auto program = load_device_program(request.role, request.slot, state_.description(), state_.maps());
    if (!program) return program;
    // Pinned for whoever looks on (bpftool, tests with packets of their own); the link does not need it.
    const std::string path = state_.program_path(request.name);
    if (auto removed = remove_pin(path); !removed) return tl::make_unexpected(removed.error());
    if (bpf_obj_pin(program->get(), path.c_str()) != 0) return system_failure("pin " + path);
    return program;
}

Result<void> Attacher::detach(const std::string& device) {
    const std::string path = state_.link_path(device);
    UniqueFd link(bpf_obj_get(path.c_str()));
    if (link) {
        // Others may hold the link open; it is to let go of the device all the same. EINVAL: the device is
        // gone.
        if (bpf_link_detach(link.get()) != 0 && errno != EINVAL && errno != ENOLINK) {
            return system_failure("detach from " + device);
        }
    } else if (errno != ENOENT) {
        return system_failure("open " + path);
    }
    attached_.erase(device);
    if (auto removed = remove_pin(path); !removed) return removed;
    return remove_pin(state_.program_path(device));
}

AttachedLinks Attacher::links() const {
    AttachedLinks links;
    for (const auto& [name, attached] : attached_)
        links.elements_.push_back({attached.attachment, attached.link});
    return links;
}

std::vector<Attachment> AttachedLinks::still_attached() const {
    std::vector<Attachment> result;
    for (const Element& element : elements_) {
        const auto ifindex = ifindex_of(element.link->get());
        if (ifindex && *ifindex == element.attachment.ifindex) result.push_back(element.attachment);
    }
    return result;
}

std::optional<Attacher::Device> Attacher::device(std::uint8_t slot) const {
    for (const auto& [name, attached] : attached_) {
        if (attached.request.slot != slot) continue;
        return Device{attached.program.get(), attached.request.ifindex, attached.attachment.mode,
                      attached.request.role, attached.link->get()};
    }
    return std::nullopt;
}

Result<void> Attacher::detach_all() {
    const auto linked = state_.linked_devices();
    if (!linked) return tl::make_unexpected(linked.error());
    for (const std::string& device : *linked) {
        if (auto detached = detach(device); !detached) return detached;
    }
    attached_.clear();
    return {};
}

}  // namespace sallyport::dataplane

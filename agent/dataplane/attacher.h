// SPDX-License-Identifier: Apache-2.0
//
// Keeps the right program on each device, by links that are pinned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "dataplane/dataplane.h"
#include "dataplane/pinned_state.h"

namespace sallyport::dataplane {

// What attachments() is made of, for other threads: it stays as it was, and holds the links open.
class AttachedLinks {
  public:
    // Those whose devices are still there: one that was removed has taken its program along.
    [[nodiscard]] std::vector<Attachment> still_attached() const;

  private:
    friend class Attacher;
    struct Element {
        Attachment attachment;
        std::shared_ptr<const UniqueFd> link;
    };
    std::vector<Element> elements_;
};

class Attacher {
  public:
    // `state` must outlive this object.
    explicit Attacher(const PinnedState& state) : state_(state) {}

    Result<std::vector<Attachment>> attach(std::span<const AttachRequest> wanted, ModeWish mode);
    [[nodiscard]] AttachedLinks links() const;
    Result<void> detach_all();

    // What is attached to the device of this slot. The descriptor stays this object's.
    struct Device {
        int program = -1;
        std::uint32_t ifindex = 0;
        Mode mode = Mode::native;
        Role role = Role::inside;
        int link = -1;  // what keeps a program on the device, perhaps another one for a while
    };
    [[nodiscard]] std::optional<Device> device(std::uint8_t slot) const;

  private:
    struct Attached {
        AttachRequest request;
        Attachment attachment;
        std::shared_ptr<const UniqueFd> link;
        UniqueFd program;
    };

    // Where one device had to fall back to generic mode, the others follow it.
    void level_modes(std::span<const AttachRequest> wanted, std::vector<Attachment>& result);
    void attach_into(const AttachRequest& request, ModeWish mode, Attachment& result);
    Result<Attached> attach_one(const AttachRequest& request, ModeWish mode);
    Result<UniqueFd> load_and_pin(const AttachRequest& request);
    Result<void> detach(const std::string& device);

    const PinnedState& state_;
    std::map<std::string, Attached> attached_;  // by device, what this object attached or adopted
};

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// Takes over the fragments that came before the first one of their datagram, and gives each back to the
// program of the device that it came in by: when the first has come, or to be dropped
// (bpf/lib/early_fragment.h).
//
// Giving back is a run of the program on the frame, as on one that the device received (BPF_PROG_RUN with
// live frames). Where the programs are attached in generic mode the frame is put into the device's own way
// in, and meets the program there: a device without native mode can't send what another program redirects.
#pragma once

#include <bpf/libbpf.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "core/result.h"
#include "core/unique_fd.h"
#include "dataplane/attacher.h"
#include "dataplane/fragment_holder.h"
#include "dataplane/map_memory.h"
#include "dataplane/pinned_state.h"

namespace sallyport::dataplane {

class EarlyFragments {
  public:
    // Both must outlive this object; `ticks` gives the flows' clock. What an agent that died had held is
    // written off.
    static Result<std::unique_ptr<EarlyFragments>> open(const PinnedState& state, const Attacher& attacher,
                                                        std::function<std::uint32_t()> ticks);
    ~EarlyFragments() { give_up_all(); }
    EarlyFragments(const EarlyFragments&) = delete;
    EarlyFragments& operator=(const EarlyFragments&) = delete;

    // Takes over what has come, and gives back what is due. To be called when fd() is readable, and some
    // times a second.
    Result<void> tend();
    // All that is held is dropped, by the programs, and counted there.
    void give_up_all();
    [[nodiscard]] int fd() const;

    // Calls `read` with what happened, by slot, to the fragments that a device's program had handed over. No
    // fragment is being given back meanwhile, so that the accounts fit the programs' counters. Any thread may
    // call it.
    template <typename Read>
    auto read_accounts(const Read& read) const {
        const std::lock_guard lock(accounts_mutex_);
        return read(std::span<const early_fragment_account>(accounts_.elements()));
    }

  private:
    EarlyFragments(const PinnedState& state, const Attacher& attacher, std::function<std::uint32_t()> ticks,
                   MapMemory<early_fragment_account> accounts, UniqueFd pass_on);

    static int collect(void* context, void* data, std::size_t size);
    void handle(const early_fragment& record, std::size_t size);
    void release(const DatagramKey& datagram);
    void give_back(const std::vector<HeldFragment>& fragments, bool first_has_come);
    void give_back(const HeldFragment& fragment, bool first_has_come);
    [[nodiscard]] bool first_has_come(const DatagramKey& datagram) const;
    void await(const DatagramKey& datagram) const;
    void await_no_more(const DatagramKey& datagram) const;

    struct RingBufferDeleter {
        void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
    };

    const PinnedState& state_;
    const Attacher& attacher_;
    std::function<std::uint32_t()> ticks_;
    MapMemory<early_fragment_account> accounts_;
    mutable std::mutex accounts_mutex_;  // held for one fragment
    UniqueFd pass_on_;                   // a program that lets every frame pass
    std::unique_ptr<ring_buffer, RingBufferDeleter> ring_;
    FragmentHolder holder_;
    std::size_t taken_this_time_ = 0;
    std::chrono::nanoseconds next_look_{0};
};

}  // namespace sallyport::dataplane

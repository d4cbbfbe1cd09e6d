// SPDX-License-Identifier: Apache-2.0
#include "dataplane/early_fragments.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "dataplane/programs.h"
#include "sallyport/abi/flow.h"

namespace sallyport::dataplane {
namespace {

// Records that one call of tend() takes over, so that a flood leaves time for everything else.
constexpr std::size_t records_at_once = 512;

// How often the tables are asked whether a first fragment has come of which the word was lost.
constexpr std::chrono::nanoseconds look_interval = std::chrono::milliseconds(50);

// A first fragment's word is trusted for less time than the programs do, so that what is given back is
// certain to find it.
constexpr std::uint32_t trusted_ticks = 2 * FLOW_TOUCH_TICKS;

std::chrono::nanoseconds monotonic() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Runs a program on a frame as if it had come in by the device. `mark` goes before the frame, where a program
// finds what was found out about it earlier.
bool run_live(int program, std::uint32_t ifindex, const std::vector<std::uint8_t>& frame,
              std::span<const std::uint8_t> mark) {
    std::vector<std::uint8_t> input(mark.begin(), mark.end());
    input.insert(input.end(), frame.begin(), frame.end());
    xdp_md context{};
    context.data = static_cast<std::uint32_t>(mark.size());
    context.data_end = static_cast<std::uint32_t>(input.size());
    context.ingress_ifindex = ifindex;
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = input.data();
    run.data_size_in = static_cast<std::uint32_t>(input.size());
    run.ctx_in = &context;
    run.ctx_size_in = sizeof context;
    run.repeat = 1;
    run.batch_size = 1;
    run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    return bpf_prog_test_run_opts(program, &run) == 0;
}

}  // namespace

EarlyFragments::EarlyFragments(const PinnedState& state, const Attacher& attacher,
                               std::function<std::uint32_t()> ticks,
                               MapMemory<early_fragment_account> accounts, UniqueFd pass_on)
    : state_(state),
      attacher_(attacher),
      ticks_(std::move(ticks)),
      accounts_(std::move(accounts)),
      pass_on_(std::move(pass_on)) {
}

Result<std::unique_ptr<EarlyFragments>> EarlyFragments::open(const PinnedState& state,
                                                             const Attacher& attacher,
                                                             std::function<std::uint32_t()> ticks) {
    auto accounts =
        MapMemory<early_fragment_account>::open(state.map("early_fragment_accounts"), DEVICES_MAX);
    if (!accounts) return failure_within("map early_fragment_accounts", accounts.error());
    auto pass_on = load_pass_on();
    if (!pass_on) return failure_within("program pass_on", pass_on.error());
    std::unique_ptr<EarlyFragments> opened(
        new EarlyFragments(state, attacher, std::move(ticks), std::move(*accounts), std::move(*pass_on)));

    for (early_fragment_account& account : opened->accounts_.elements())
        account.lost = account.taken - account.returned;
    fragment_key key{};
    const int awaited = state.map("awaited_datagrams");
    while (bpf_map_get_next_key(awaited, nullptr, &key) == 0) {
        if (bpf_map_delete_elem(awaited, &key) != 0) return system_failure("clear map awaited_datagrams");
    }
    opened->ring_.reset(ring_buffer__new(state.map("early_fragments"), collect, opened.get(), nullptr));
    if (!opened->ring_) return system_failure("open the ring buffer early_fragments");
    return opened;
}

void EarlyFragments::give_up_all() {
    const auto all = holder_.give_up_all();
    give_back(all, false);
    for (const HeldFragment& fragment : all) await_no_more(fragment.datagram);
}

int EarlyFragments::fd() const {
    return ring_buffer__epoll_fd(ring_.get());
}

// libbpf calls this, through C frames that no exception may cross.
int EarlyFragments::collect(void* context, void* data, std::size_t size) {
    auto* self = static_cast<EarlyFragments*>(context);
    self->handle(*static_cast<const early_fragment*>(data), size);
    return ++self->taken_this_time_ < records_at_once ? 0 : -EAGAIN;
}

void EarlyFragments::handle(const early_fragment& record, std::size_t size) {
    constexpr std::size_t header = offsetof(early_fragment, frame);
    if (size < header || record.frame_bytes > size - header) return;
    const DatagramKey datagram = DatagramKey::from(record.key);
    if (record.frame_bytes == 0) {
        release(datagram);
        return;
    }
    const auto account = [&](auto count) {
        const std::lock_guard lock(accounts_mutex_);
        count(accounts_.elements()[record.device % DEVICES_MAX]);
    };
    account([](early_fragment_account& of_device) { ++of_device.taken; });
    HeldFragment fragment;
    try {
        fragment = {datagram, std::chrono::nanoseconds(record.time_ns), record.device,
                    std::vector<std::uint8_t>(record.frame, record.frame + record.frame_bytes)};
        const bool is_new = !holder_.holds(datagram);
        const std::vector<HeldFragment> gone = holder_.take(std::move(fragment));
        give_back(gone, false);
        for (const HeldFragment& other : gone) {
            if (!holder_.holds(other.datagram)) await_no_more(other.datagram);
        }
        if (is_new && holder_.holds(datagram)) await(datagram);
        // Only now: a first fragment that comes after this look finds that it is awaited.
        if (first_has_come(datagram)) release(datagram);
    } catch (const std::bad_alloc&) {
        account([](early_fragment_account& of_device) { ++of_device.lost; });
    }
}

void EarlyFragments::release(const DatagramKey& datagram) {
    const auto fragments = holder_.release(datagram);
    if (fragments.empty()) return;
    await_no_more(datagram);
    give_back(fragments, true);
}

void EarlyFragments::give_back(const std::vector<HeldFragment>& fragments, bool first_has_come) {
    for (const HeldFragment& fragment : fragments) give_back(fragment, first_has_come);
}

void EarlyFragments::give_back(const HeldFragment& fragment, bool first_has_come) {
    early_fragment_account& account = accounts_.elements()[fragment.device % DEVICES_MAX];
    const std::uint32_t held = EARLY_FRAGMENT_HELD;
    std::uint8_t mark[sizeof held];
    std::memcpy(mark, &held, sizeof held);
    const auto device = attacher_.device(fragment.device);
    // The program counts the fragment once more; nobody is to see that without its entry here.
    const std::lock_guard lock(accounts_mutex_);
    const bool run = device && (first_has_come && device->mode == Mode::generic
                                    ? run_live(pass_on_.get(), device->ifindex, fragment.frame, {})
                                    : run_live(device->program, device->ifindex, fragment.frame, mark));
    if (run) {
        ++account.returned;
        account.returned_bytes += fragment.frame.size();
    } else {
        ++account.lost;  // the device is gone
    }
}

bool EarlyFragments::first_has_come(const DatagramKey& datagram) const {
    const fragment_key key = datagram.bytes();
    fragment first{};
    if (bpf_map_lookup_elem(state_.map("fragments"), &key, &first) != 0) return false;
    const auto age = static_cast<std::int32_t>(ticks_() - first.last_seen);
    return age <= static_cast<std::int32_t>(trusted_ticks);
}

void EarlyFragments::await(const DatagramKey& datagram) const {
    const fragment_key key = datagram.bytes();
    const std::uint32_t unused = 1;
    // Where it fails tend() finds out by itself, a little later.
    bpf_map_update_elem(state_.map("awaited_datagrams"), &key, &unused, BPF_ANY);
}

void EarlyFragments::await_no_more(const DatagramKey& datagram) const {
    const fragment_key key = datagram.bytes();
    bpf_map_delete_elem(state_.map("awaited_datagrams"), &key);
}

Result<void> EarlyFragments::tend() {
    taken_this_time_ = 0;
    if (const int error = ring_buffer__consume(ring_.get()); error < 0 && error != -EAGAIN)
        return system_failure("read early fragments", -error);
    const std::chrono::nanoseconds now = monotonic();
    if (now >= next_look_) {
        next_look_ = now + look_interval;
        for (const DatagramKey& datagram : holder_.datagrams()) {
            if (first_has_come(datagram)) release(datagram);
        }
    }
    const auto gone = holder_.give_up(now);
    for (const HeldFragment& fragment : gone) await_no_more(fragment.datagram);
    give_back(gone, false);
    return {};
}

}  // namespace sallyport::dataplane

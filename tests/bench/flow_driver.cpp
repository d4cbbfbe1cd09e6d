// SPDX-License-Identifier: Apache-2.0
#include "bench/flow_driver.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <stdexcept>

#include "driver.skel.h"

namespace sallyport::bench {
namespace {

constexpr std::uint32_t first = 0;

void check(bool fine, const char* doing) {
    if (!fine) throw std::runtime_error(std::string(doing) + ": " + std::strerror(errno));
}

double thread_nanoseconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

}  // namespace

struct FlowDriver::Impl {
    driver_bpf* skeleton = nullptr;
    std::uint32_t most = 0;
    tuple* tuples = nullptr;
    std::size_t stride = 8;  // array elements are rounded up to eight bytes
    driver_state state{};

    ~Impl() {
        if (tuples) munmap(tuples, bytes());
        driver_bpf__destroy(skeleton);
    }
    [[nodiscard]] std::size_t bytes() const {
        return (std::size_t{most} * stride + 4095) & ~std::size_t{4095};
    }

    double run(std::uint32_t count) {
        support::Bytes frame(64);
        LIBBPF_OPTS(bpf_test_run_opts, run);
        run.data_in = frame.data();
        run.data_size_in = static_cast<std::uint32_t>(frame.size());
        run.repeat = static_cast<int>(count);
        // Processor time of this thread, not the kernel's duration, which counts what others ran meanwhile.
        double before = thread_nanoseconds();
        check(bpf_prog_test_run_opts(bpf_program__fd(skeleton->progs.driver_call), &run) == 0,
              "run the driver");
        double spent = thread_nanoseconds() - before;
        if (run.retval == XDP_ABORTED) throw std::runtime_error("the driver was not followed by a program");
        return spent / count;
    }
    void follow(int program) {
        check(bpf_map_update_elem(bpf_map__fd(skeleton->maps.measured), &first, &program, BPF_ANY) == 0,
              "choose the measured program");
    }
};

FlowDriver::FlowDriver(std::uint32_t most_tuples) : impl_(std::make_unique<Impl>()) {
    libbpf_set_print(nullptr);
    impl_->most = most_tuples;
    impl_->skeleton = driver_bpf__open();
    check(impl_->skeleton != nullptr, "open the driver");
    bpf_map__set_max_entries(impl_->skeleton->maps.tuples, most_tuples);
    check(driver_bpf__load(impl_->skeleton) == 0, "load the driver");
    void* memory = mmap(nullptr, impl_->bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
                        bpf_map__fd(impl_->skeleton->maps.tuples), 0);
    check(memory != MAP_FAILED, "map the tuples");
    impl_->tuples = static_cast<tuple*>(memory);
}

FlowDriver::~FlowDriver() = default;

void FlowDriver::aim(const support::Packet& like, const std::vector<tuple>& tuples, std::uint32_t ifindex) {
    if (tuples.size() > impl_->most) throw std::runtime_error("more tuples than there is room for");
    support::Bytes frame = like.frame();
    frame.resize(std::max<std::size_t>(frame.size(), DRIVER_HEADER_BYTES));
    std::memcpy(impl_->state.header, frame.data(), DRIVER_HEADER_BYTES);
    impl_->state.next = 0;
    impl_->state.count = static_cast<std::uint32_t>(tuples.size());
    impl_->state.ifindex = ifindex;
    char* to = reinterpret_cast<char*>(impl_->tuples);
    for (std::size_t i = 0; i < tuples.size(); i++)
        std::memcpy(to + i * impl_->stride, &tuples[i], sizeof(tuple));
    check(bpf_map_update_elem(bpf_map__fd(impl_->skeleton->maps.state), &first, &impl_->state, BPF_ANY) == 0,
          "aim the driver");
}

double FlowDriver::call(int program, std::uint32_t count) {
    impl_->follow(program);
    return impl_->run(count);
}

double FlowDriver::call_empty(std::uint32_t count) {
    impl_->follow(bpf_program__fd(impl_->skeleton->progs.driver_empty));
    return impl_->run(count);
}

void FlowDriver::send(std::uint32_t count, std::size_t bytes, std::uint32_t batch) {
    support::Bytes frame(bytes);
    // The length of the whole packet has to fit the frame: aim() was given a packet of that size.
    LIBBPF_OPTS(bpf_test_run_opts, run);
    run.data_in = frame.data();
    run.data_size_in = static_cast<std::uint32_t>(frame.size());
    run.repeat = static_cast<int>(count);
    run.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    run.batch_size = batch;
    check(bpf_prog_test_run_opts(bpf_program__fd(impl_->skeleton->progs.driver_send), &run) == 0,
          "send frames");
}

std::vector<tuple> scattered_tuples(std::uint32_t flows, std::uint32_t per_remote_port) {
    std::vector<tuple> tuples(flows);
    for (std::uint32_t i = 0; i < flows; i++) {
        tuples[i].source_port = htons(static_cast<std::uint16_t>(20000 + i % per_remote_port));
        tuples[i].destination_port = htons(static_cast<std::uint16_t>(1 + i / per_remote_port));
    }
    std::mt19937 random(20240229);
    std::shuffle(tuples.begin(), tuples.end(), random);
    return tuples;
}

}  // namespace sallyport::bench

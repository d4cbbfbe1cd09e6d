// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <utility>

#include "cli/packet_file.h"
#include "cli/run.h"
#include "cli/session.h"
#include "cli/views.h"
#include "core/base64.h"
#include "core/duration.h"

namespace sallyport::cli {
namespace {

using Steady = std::chrono::steady_clock;

// Short, so that an interrupt is seen soon: the wait for an answer is not cut off by one.
constexpr std::chrono::seconds one_wait{1};

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) {
    interrupted = 1;
}

// An interrupt is how a capture is meant to end, with everything written that was captured.
void end_by_signals() {
    struct sigaction action {};
    action.sa_handler = note_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

Query query_of(const Invocation& given) {
    Query query;
    for (const auto& [option, parameter] : {std::pair{"device", "device"},
                                            {"host", "host"},
                                            {"protocol", "protocol"},
                                            {"port", "port"},
                                            {"snap-length", "snap_length"}}) {
        if (given.has(option)) query.emplace_back(parameter, given.value(option));
    }
    // A file cannot say what became of a packet: one that was not sent would stand in it twice.
    std::string points;
    for (const char* point : {"received", "sent", "dropped", "passed"}) {
        if (given.has(point)) points += (points.empty() ? "" : ",") + std::string(point);
    }
    if (points.empty() && given.has("w")) points = "received,sent";
    if (!points.empty()) query.emplace_back("points", points);
    return query;
}

// Where the packets go, until there are as many as are wanted.
class Sink {
  public:
    Sink(Output& output, std::optional<PacketFile> file, std::uint64_t wanted)
        : output_(output), file_(std::move(file)), wanted_(wanted) {}

    Result<void> take(const Json& batch) {
        lost_ = number(batch, "lost");
        for (const Json& packet : list(batch, "packets")) {
            if (full()) break;
            if (auto taken = take_one(packet); !taken) return taken;
            ++count_;
        }
        return file_ ? file_->flush() : Result<void>{};
    }
    [[nodiscard]] bool full() const { return wanted_ != 0 && count_ == wanted_; }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    [[nodiscard]] std::uint64_t lost() const { return lost_; }

  private:
    Result<void> take_one(const Json& packet) {
        if (file_) {
            const auto bytes = decode_base64(field(packet, "bytes"));
            if (!bytes) return failure("the agent's answer has a packet that cannot be read");
            file_->write(number(packet, "time_ns"), static_cast<std::uint32_t>(number(packet, "length")),
                         *bytes);
            return {};
        }
        Json shown = packet;
        if (shown.is_object()) shown.erase("bytes");
        output_.event(shown, captured_view);
        return {};
    }

    Output& output_;
    std::optional<PacketFile> file_;
    std::uint64_t wanted_;  // 0: all
    std::uint64_t count_ = 0;
    std::uint64_t lost_ = 0;
};

}  // namespace

ExitCode run_capture(Session& session) {
    const Invocation& given = session.invocation();
    std::optional<Steady::time_point> end;
    if (given.has("duration")) end = Steady::now() + *parse_duration(given.value("duration"));
    end_by_signals();

    const Outcome begun =
        session.api().post(with_query(path_of({"capture"}), query_of(given)), Json::object());
    if (!begun) return session.show(begun.error());
    const std::string capture = std::to_string(number(*begun, "capture"));
    const std::string ending = with_query(path_of({"capture"}), {{"capture", capture}});
    const auto fail = [&](const Error& error) {
        std::ignore = session.api().remove(ending);
        return session.show(problem(ExitCode::failed, "packets not written", error.message).value());
    };

    std::optional<PacketFile> file;
    if (given.has("w")) {
        auto opened =
            PacketFile::open(given.value("w"), static_cast<std::uint16_t>(number(*begun, "snap_length")));
        if (!opened) return fail(opened.error());
        file.emplace(*std::move(opened));
    }
    Sink sink(session.output(), std::move(file), std::stoull(given.value("count", "0")));
    const auto tell = [&sink](const Outcome& outcome) {
        std::cerr << fmt::format("{} captured, {} lost\n", plural(sink.count(), "packet"), sink.lost());
        return outcome.has_value();
    };

    while (interrupted == 0 && !sink.full()) {
        if (end) {
            const auto left = *end - Steady::now();
            if (left <= Steady::duration{0}) break;
            if (left < one_wait) {
                std::this_thread::sleep_for(left);
                break;
            }
        }
        const Outcome batch = session.api().get(
            path_of({"capture"}), {{"capture", capture}, {"wait", std::to_string(one_wait.count())}});
        if (!batch) {
            tell(batch);
            return session.show(batch.error());
        }
        if (auto taken = sink.take(*batch); !taken) return fail(taken.error());
    }
    const Outcome rest = session.api().remove(ending);
    if (rest) {
        if (auto taken = sink.take(*rest); !taken)
            return session.show(
                problem(ExitCode::failed, "packets not written", taken.error().message).value());
    }
    if (!tell(rest)) return session.show(rest.error());
    return ExitCode::ok;
}

}  // namespace sallyport::cli

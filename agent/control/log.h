// SPDX-License-Identifier: Apache-2.0
//
// What the operator reads in the journal: one line for each event, in words. Any thread may write one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sallyport::control {

enum class LogLevel { error, warning, notice, info };

class Log {
  public:
    virtual ~Log() = default;
    virtual void write(LogLevel level, std::string_view line) = 0;

    void error(std::string_view line) { write(LogLevel::error, line); }
    void warning(std::string_view line) { write(LogLevel::warning, line); }
    void notice(std::string_view line) { write(LogLevel::notice, line); }
    void info(std::string_view line) { write(LogLevel::info, line); }
};

// To the standard error, with the priorities of sd-daemon(3) in front where the journal reads them.
class StderrLog final : public Log {
  public:
    StderrLog();
    void write(LogLevel level, std::string_view line) override;

  private:
    bool with_priority_;
};

class MemoryLog final : public Log {
  public:
    void write(LogLevel, std::string_view line) override { lines.emplace_back(line); }
    std::vector<std::string> lines;
};

}  // namespace sallyport::control

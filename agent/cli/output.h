// SPDX-License-Identifier: Apache-2.0
//
// Where every answer goes. Both outputs are fed the same value: JSON prints it as it is, so that it cannot
// miss a field; text prints a view of it for people.
#pragma once

#include <functional>
#include <iosfwd>

#include "cli/problem.h"
#include "cli/text.h"

namespace sallyport::cli {

using View = std::function<void(Text& text, const Json& value)>;

class Output {
  public:
    virtual ~Output() = default;
    // The answer of a command.
    virtual void answer(const Json& value, const View& view) = 0;
    // One of a list without end; on one line and at once, so that a pipe gets it when it happens.
    virtual void event(const Json& value, const View& view) = 0;
    // Why there is no answer. Never mixed with answers: it goes to standard error.
    virtual void problem(const Json& body) = 0;
};

class TextOutput final : public Output {
  public:
    TextOutput(std::ostream& out, std::ostream& err, Screen screen)
        : out_(out), err_(err), text_(out, screen) {}
    void answer(const Json& value, const View& view) override;
    void event(const Json& value, const View& view) override;
    void problem(const Json& body) override;

  private:
    std::ostream& out_;
    std::ostream& err_;
    Text text_;
};

class JsonOutput final : public Output {
  public:
    JsonOutput(std::ostream& out, std::ostream& err) : out_(out), err_(err) {}
    void answer(const Json& value, const View& view) override;
    void event(const Json& value, const View& view) override;
    void problem(const Json& body) override;

  private:
    std::ostream& out_;
    std::ostream& err_;
};

}  // namespace sallyport::cli

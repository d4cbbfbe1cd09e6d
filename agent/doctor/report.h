// SPDX-License-Identifier: Apache-2.0
//
// For the checks only: the list that they write to, and the host's switches under /proc/sys.
#pragma once

#include <string>
#include <vector>

#include "doctor/doctor.h"

namespace sallyport::doctor {

class Report {
  public:
    void ok(std::string check, std::string subject, std::string found, std::string text) {
        add({std::move(check), std::move(subject), Severity::ok, std::move(found), std::move(text), ""});
    }
    void warn(std::string check, std::string subject, std::string found, std::string text, std::string mend) {
        add({std::move(check), std::move(subject), Severity::warning, std::move(found), std::move(text),
             std::move(mend)});
    }
    void error(std::string check, std::string subject, std::string found, std::string text,
               std::string mend) {
        add({std::move(check), std::move(subject), Severity::error, std::move(found), std::move(text),
             std::move(mend)});
    }
    // What could not be looked at is told, so that silence always means well.
    void unread(std::string check, std::string subject, const Error& error) {
        warn(std::move(check), std::move(subject), "not known", "could not be read: " + error.message, "");
    }
    std::vector<Check> take() { return std::move(checks_); }

  private:
    void add(Check check) { checks_.push_back(std::move(check)); }
    std::vector<Check> checks_;
};

// One switch of the kernel, named as under /proc/sys: "net/ipv4/ip_forward".
class Sysctl {
  public:
    explicit Sysctl(std::string name) : name_(std::move(name)) {}
    static Sysctl of_device(const std::string& device, const std::string& key) {
        return Sysctl("net/ipv4/conf/" + device + "/" + key);
    }
    [[nodiscard]] Result<long> read(Host& host) const;
    // "net.ipv4.ip_forward=1"; with slashes where the name of a device has dots in it.
    [[nodiscard]] std::string setting(long value) const;
    [[nodiscard]] std::string command(long value) const { return "sysctl -w " + setting(value); }

  private:
    std::string name_;
};

void check_host(const Subjects& subjects, Host& host, Report& report);
void check_device(const DeviceToCheck& device, const Subjects& subjects, Host& host, Report& report);
void check_elastic_ips(const Subjects& subjects, Host& host, Report& report);

}  // namespace sallyport::doctor

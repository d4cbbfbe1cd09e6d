// SPDX-License-Identifier: Apache-2.0
//
// What LinuxHost reads, held against a network namespace that the test makes.
#include "doctor/linux_host.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "doctor/doctor.h"
#include "netlink/mnl_netlink.h"

namespace sallyport::doctor {
namespace {

void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(cert-env33-c): fixed words only
}

class LinuxHostTest : public testing::Test {
  protected:
    void SetUp() override {
        if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
            GTEST_SKIP() << "no right to make a network namespace here";
        }
        auto netlink = netlink::MnlNetlink::open();
        ASSERT_TRUE(netlink) << netlink.error().message;
        netlink_ = std::move(*netlink);
        host_ = std::make_unique<LinuxHost>(*netlink_);
        run("ip link add lan0 type veth peer name lan0-peer && ip link set lan0 up && ip link set lan0-peer "
            "up");
    }

    std::unique_ptr<netlink::Netlink> netlink_;
    std::unique_ptr<LinuxHost> host_;
};

TEST_F(LinuxHostTest, ReadsTheHardware) {
    const auto before = host_->hardware("lan0");
    ASSERT_TRUE(before) << before.error().message;
    EXPECT_EQ(before->driver, "veth");
    EXPECT_EQ(before->features.count("rx-lro"), 0U);
    ASSERT_TRUE(before->channels);
    EXPECT_GE(before->channels->receive, 1U);

    EXPECT_EQ(before->fixed.count("rx-gro"), 0U);
    EXPECT_EQ(before->fixed.count("rx-gro-hw"), 1U);

    run("ethtool -K lan0 gro on");
    EXPECT_EQ(host_->hardware("lan0")->features.count("rx-gro"), 1U);
    run("ethtool -K lan0 gro off");
    EXPECT_EQ(host_->hardware("lan0")->features.count("rx-gro"), 0U);
    EXPECT_FALSE(host_->hardware("nothing"));
    EXPECT_FALSE(host_->hardware("a-name-that-no-device-can-have"));
}

TEST_F(LinuxHostTest, ReadsFilesAndTheKernel) {
    EXPECT_EQ(host_->read("/proc/sys/net/ipv4/conf/lan0/rp_filter").value_or("unread").size(), 1U);
    const auto absent = host_->read("/proc/sys/net/ipv4/conf/nothing/rp_filter");
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ENOENT);
    EXPECT_NE(host_->kernel_release().find('.'), std::string::npos);
}

TEST_F(LinuxHostTest, FindsTheChainsThatDropByPolicy) {
    const auto none = host_->dropping_forward_chains();
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_TRUE(none->empty());
    if (std::system("nft list tables >/dev/null 2>&1") != 0) {  // NOLINT(cert-env33-c): fixed words only
        GTEST_SKIP() << "no nft here";
    }
    run("nft 'table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; };"
        " chain INPUT { type filter hook input priority 0; policy drop; }; chain jumped { }; }'");
    run("nft 'table inet other { chain forward { type filter hook forward priority 0; policy accept; }; }'");
    const auto chains = host_->dropping_forward_chains();
    ASSERT_TRUE(chains) << chains.error().message;
    EXPECT_EQ(*chains, std::vector<std::string>{"ip filter FORWARD"});
}

TEST_F(LinuxHostTest, TheDoctorSeesWhatIsSwitched) {
    Subjects subjects;
    model::Device device;
    device.device = "lan0";
    subjects.devices = {{device, false}};
    const auto severity = [&](const std::string& check, const std::string& subject) {
        const auto checks = examine(subjects, *host_);
        const auto found = std::find_if(checks.begin(), checks.end(), [&](const Check& each) {
            return each.check == check && each.subject == subject;
        });
        return found == checks.end() ? "absent" : std::string(to_string(found->severity));
    };
    run("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.lan0.rp_filter=1");
    EXPECT_EQ(severity("ip_forward", "host"), "error");
    EXPECT_EQ(severity("rp_filter", "lan0"), "error");
    run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.lan0.rp_filter=2");
    EXPECT_EQ(severity("ip_forward", "host"), "ok");
    EXPECT_EQ(severity("rp_filter", "lan0"), "ok");
    EXPECT_EQ(severity("forwarding", "lan0"), "ok");
    EXPECT_EQ(severity("up", "lan0"), "ok");
    run("ip link set lan0 down");
    EXPECT_EQ(severity("up", "lan0"), "error");
}

}  // namespace
}  // namespace sallyport::doctor

// SPDX-License-Identifier: Apache-2.0
//
// One host on which all is well, and for each check a way to spoil it: the check must then fail with the
// command that mends it, and be well on the good host.
#include "doctor/doctor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "doctor/memory_host.h"

namespace sallyport::doctor {
namespace {

const std::string conf = "/proc/sys/net/ipv4/conf/";

struct Scene {
    MemoryHost host;
    Subjects subjects;

    netlink::Link& link(const std::string& name) {
        return *std::find_if(host.link_list.begin(), host.link_list.end(),
                             [&](const auto& link) { return link.name == name; });
    }
    std::vector<Check> examine() { return doctor::examine(subjects, host); }
    std::optional<Check> find(const std::string& check, const std::string& subject) {
        const auto checks = examine();
        const auto found = std::find_if(checks.begin(), checks.end(), [&](const Check& each) {
            return each.check == check && each.subject == subject;
        });
        return found == checks.end() ? std::nullopt : std::optional(*found);
    }
};

void add_device(Scene& scene, const std::string& name, model::DeviceRole role, const std::string& driver) {
    netlink::Link link;
    link.ifindex = static_cast<std::uint32_t>(scene.host.link_list.size()) + 2;
    link.name = name;
    link.mtu = 1500;
    link.up = true;
    link.running = true;
    link.xdp = netlink::XdpAttachment::native;
    link.xdp_program = 40 + link.ifindex;
    scene.host.link_list.push_back(link);
    scene.host.devices[name] = {driver, {"rx-gro", "tx-checksum-ip-generic"}, Channels{0, 0, 2, 8}, {}};
    for (const auto& [key, value] : std::map<std::string, std::string>{
             {"forwarding", "1"}, {"rp_filter", "0"}, {"send_redirects", "0"}, {"accept_local", "0"}}) {
        scene.host.files[conf + name + "/" + key] = value;
    }
    model::Device device;
    device.device = name;
    device.role = role;
    scene.subjects.devices.push_back({device, true});
}

Scene good() {
    Scene scene;
    auto& files = scene.host.files;
    files["/proc/sys/net/core/bpf_jit_enable"] = "1";
    files["/proc/sys/net/ipv4/ip_forward"] = "1";
    files["/proc/sys/net/ipv4/neigh/default/gc_thresh3"] = "1024";
    files["/proc/sys/net/netfilter/nf_conntrack_max"] = "65536";
    files["/proc/sys/net/netfilter/nf_conntrack_count"] = "12";
    files[conf + "all/rp_filter"] = "0";
    files[conf + "all/send_redirects"] = "0";
    files[conf + "all/accept_local"] = "0";
    files["/proc/self/status"] = "Name:\tsallyportd\nCapEff:\t000000c000003000\nSeccomp:\t0";
    files["/proc/self/mounts"] =
        "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\ntmpfs /run tmpfs rw 0 0";
    files["/sys/devices/system/cpu/possible"] = "0-3";
    add_device(scene, "lan0", model::DeviceRole::inside, "virtio_net");
    add_device(scene, "wan0", model::DeviceRole::outside, "ena");
    add_device(scene, "one0", model::DeviceRole::both, "veth");
    scene.link("one0").kind = "veth";
    scene.host.address_list = {{3, Ipv4Address(198, 51, 100, 1), 24}, {3, Ipv4Address(198, 51, 100, 9), 24}};
    model::ElasticIp own;
    own.name = "eip-1";
    own.address = Ipv4Address(198, 51, 100, 10);
    scene.subjects.elastic_ips = {own};
    return scene;
}

TEST(Doctor, FindsNothingWrongWithAGoodHost) {
    auto scene = good();
    for (const auto& check : scene.examine()) {
        EXPECT_EQ(check.severity, Severity::ok) << check.check << " " << check.subject << ": " << check.text;
        EXPECT_EQ(check.mend, "") << check.check;
        EXPECT_NE(check.text, "") << check.check;
        EXPECT_NE(check.found, "") << check.check;
    }
}

struct Fault {
    std::string name;  // of the case
    std::string check;
    std::string subject;
    std::function<void(Scene&)> spoil;
    Severity severity;
    std::string mend;
    bool silent_when_well = false;  // said only when it is at fault
};
void PrintTo(const Fault& fault, std::ostream* out) {
    *out << fault.name;
}

std::string fault_name(const testing::TestParamInfo<Fault>& fault) {
    return fault.param.name;
}

class DoctorFault : public testing::TestWithParam<Fault> {};

TEST_P(DoctorFault, IsFoundWithWhatMendsIt) {
    const auto& fault = GetParam();
    auto scene = good();
    const auto before = scene.find(fault.check, fault.subject);
    if (fault.silent_when_well) {
        EXPECT_FALSE(before);
    } else {
        ASSERT_TRUE(before);
        EXPECT_EQ(before->severity, Severity::ok);
    }
    fault.spoil(scene);
    const auto after = scene.find(fault.check, fault.subject);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->severity, fault.severity) << after->text;
    EXPECT_EQ(after->mend, fault.mend);
    EXPECT_NE(after->text, "");
}

void set(Scene& scene, const std::string& path, const std::string& value) {
    scene.host.files[path] = value;
}

const auto warning = Severity::warning;
const auto error = Severity::error;

INSTANTIATE_TEST_SUITE_P(
    Host, DoctorFault,
    testing::Values(
        Fault{"old_kernel", "kernel", "host", [](Scene& s) { s.host.release = "5.15.0-91-generic"; }, error,
              "apt-get install linux-image-amd64"},
        Fault{"strange_kernel", "kernel", "host", [](Scene& s) { s.host.release = "next"; }, error,
              "apt-get install linux-image-amd64"},
        Fault{"no_jit", "bpf_jit", "host", [](Scene& s) { set(s, "/proc/sys/net/core/bpf_jit_enable", "0"); },
              warning, "sysctl -w net.core.bpf_jit_enable=1"},
        Fault{"talking_jit", "bpf_jit", "host",
              [](Scene& s) { set(s, "/proc/sys/net/core/bpf_jit_enable", "2"); }, warning,
              "sysctl -w net.core.bpf_jit_enable=1"},
        Fault{"few_capabilities", "capabilities", "host",
              [](Scene& s) { set(s, "/proc/self/status", "CapEff:\t0000000000003000\n"); }, error,
              "systemctl restart sallyportd"},
        Fault{"no_bpffs", "bpffs", "host",
              [](Scene& s) { set(s, "/proc/self/mounts", "sysfs /sys sysfs rw 0 0\nbpf /mnt bpf rw 0 0"); },
              error, "mount -t bpf bpf /sys/fs/bpf"},
        Fault{"bpffs_elsewhere", "bpffs", "host", [](Scene& s) { s.subjects.pin_dir = "/run/pins"; }, error,
              "mount -t bpf bpf /run/pins"},
        Fault{"no_ip_forward", "ip_forward", "host",
              [](Scene& s) { set(s, "/proc/sys/net/ipv4/ip_forward", "0"); }, error,
              "sysctl -w net.ipv4.ip_forward=1"},
        Fault{"unreadable_ip_forward", "ip_forward", "host",
              [](Scene& s) { set(s, "/proc/sys/net/ipv4/ip_forward", "yes"); }, warning, ""},
        Fault{"dropping_chain", "forward_policy", "host",
              [](Scene& s) { s.host.chains = {"ip filter FORWARD"}; }, warning,
              "nft 'insert rule ip filter FORWARD iifname { lan0, wan0, one0 } oifname { lan0, wan0, one0 } "
              "accept'"},
        Fault{"full_conntrack", "conntrack", "host",
              [](Scene& s) { set(s, "/proc/sys/net/netfilter/nf_conntrack_count", "60000"); }, warning,
              "sysctl -w net.netfilter.nf_conntrack_max=131072"},
        Fault{"full_neighbour_table", "neighbour_table", "host",
              [](Scene& s) { s.host.neighbour_list.resize(800); }, warning,
              "sysctl -w net.ipv4.neigh.default.gc_thresh3=8192"}),
    fault_name);

INSTANTIATE_TEST_SUITE_P(
    Device, DoctorFault,
    testing::Values(
        Fault{"missing", "device", "lan0", [](Scene& s) { s.link("lan0").name = "lan1"; }, error,
              "ip -brief link"},
        Fault{"down", "up", "lan0", [](Scene& s) { s.link("lan0").up = false; }, error,
              "ip link set dev lan0 up"},
        Fault{"no_carrier", "up", "lan0", [](Scene& s) { s.link("lan0").running = false; }, error, ""},
        Fault{"unknown_driver", "driver", "lan0",
              [](Scene& s) {
                  s.host.devices["lan0"].driver = "e1000e";
                  s.link("lan0").xdp = netlink::XdpAttachment::generic;
              },
              warning, ""},
        Fault{"unknown_hardware", "driver", "lan0", [](Scene& s) { s.host.devices.erase("lan0"); }, warning,
              ""},
        Fault{"generic_mode", "xdp_mode", "lan0",
              [](Scene& s) { s.link("lan0").xdp = netlink::XdpAttachment::generic; }, warning, ""},
        Fault{"taken_off", "xdp_mode", "lan0",
              [](Scene& s) { s.link("lan0").xdp = netlink::XdpAttachment::none; }, error, "sallyport reload"},
        Fault{"not_attached", "xdp_mode", "lan0",
              [](Scene& s) {
                  s.link("lan0").xdp = netlink::XdpAttachment::none;
                  s.subjects.devices[0].attached = false;
              },
              warning, "sallyport reload"},
        Fault{"not_attached_and_no_agent", "xdp_mode", "lan0",
              [](Scene& s) {
                  s.link("lan0").xdp = netlink::XdpAttachment::none;
                  s.subjects.devices[0].attached = false;
                  s.subjects.agent_runs = false;
              },
              warning, "systemctl start sallyport"},
        Fault{"foreign_program", "xdp_mode", "lan0", [](Scene& s) { s.subjects.devices[0].attached = false; },
              error, "ip link set dev lan0 xdp off"},
        Fault{"two_programs", "xdp_mode", "lan0",
              [](Scene& s) { s.link("lan0").xdp = netlink::XdpAttachment::multiple; }, error,
              "ip link set dev lan0 xdpgeneric off"},
        Fault{"lro", "lro", "wan0", [](Scene& s) { s.host.devices["wan0"].features.insert("rx-lro"); }, error,
              "ethtool -K wan0 lro off"},
        Fault{"gro_hw", "gro_hw", "wan0",
              [](Scene& s) { s.host.devices["wan0"].features.insert("rx-gro-hw"); }, error,
              "ethtool -K wan0 rx-gro-hw off"},
        Fault{"gro_hw_that_nobody_can_switch", "gro_hw", "wan0",
              [](Scene& s) {
                  s.host.devices["wan0"].features.insert("rx-gro-hw");
                  s.host.devices["wan0"].fixed.insert("rx-gro-hw");
              },
              error, ""},
        Fault{"gro_in_generic_mode", "gro", "lan0",
              [](Scene& s) { s.link("lan0").xdp = netlink::XdpAttachment::generic; }, error,
              "ethtool -K lan0 gro off", true},
        Fault{"vlan_offload", "vlan_offload", "wan0",
              [](Scene& s) { s.host.devices["wan0"].features.insert("rx-vlan-hw-parse"); }, warning,
              "ethtool -K wan0 rxvlan off"},
        Fault{"large_mtu", "mtu", "wan0",
              [](Scene& s) {
                  s.link("wan0").mtu = 9001;
                  s.link("wan0").xdp = netlink::XdpAttachment::none;
              },
              warning, "ip link set dev wan0 mtu 3498"},
        Fault{"channels_of_ena", "channels", "wan0",
              [](Scene& s) {
                  s.host.devices["wan0"].channels = Channels{0, 0, 8, 8};
              },
              error, "ethtool -L wan0 combined 4"},
        Fault{"channels_of_virtio", "channels", "lan0",
              [](Scene& s) {
                  s.host.devices["lan0"].channels = Channels{0, 0, 8, 8};
              },
              warning, "ethtool -L lan0 combined 4"},
        Fault{"no_channels_left", "channels", "lan0",
              [](Scene& s) {
                  s.host.devices["lan0"].channels = Channels{0, 0, 1, 1};
              },
              warning, ""},
        Fault{"no_forwarding", "forwarding", "lan0", [](Scene& s) { set(s, conf + "lan0/forwarding", "0"); },
              error, "sysctl -w net.ipv4.conf.lan0.forwarding=1"},
        Fault{"rp_filter", "rp_filter", "lan0", [](Scene& s) { set(s, conf + "lan0/rp_filter", "1"); }, error,
              "sysctl -w net.ipv4.conf.lan0.rp_filter=2"},
        Fault{"rp_filter_of_all", "rp_filter", "one0", [](Scene& s) { set(s, conf + "all/rp_filter", "1"); },
              error, "sysctl -w net.ipv4.conf.one0.rp_filter=2"},
        Fault{"send_redirects", "send_redirects", "one0",
              [](Scene& s) { set(s, conf + "one0/send_redirects", "1"); }, warning,
              "sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.one0.send_redirects=0"},
        Fault{"address_of_the_host", "elastic_ip", "eip-1",
              [](Scene& s) { s.subjects.elastic_ips[0].address = Ipv4Address(198, 51, 100, 9); }, error,
              "ip address del 198.51.100.9/24 dev wan0"},
        Fault{"martians", "accept_local", "lan0",
              [](Scene& s) {
                  s.subjects.elastic_ips[0].address = Ipv4Address(198, 51, 100, 9);
                  s.subjects.elastic_ips[0].shared_with_host = true;
              },
              warning, "sysctl -w net.ipv4.conf.lan0.accept_local=1", true}),
    fault_name);

TEST(Doctor, ASharedAddressOfTheHostIsWell) {
    auto scene = good();
    scene.subjects.elastic_ips[0].address = Ipv4Address(198, 51, 100, 9);
    scene.subjects.elastic_ips[0].shared_with_host = true;
    set(scene, conf + "all/accept_local", "1");
    EXPECT_EQ(scene.find("elastic_ip", "eip-1")->severity, Severity::ok);
    EXPECT_EQ(scene.find("accept_local", "lan0")->severity, Severity::ok);
    EXPECT_FALSE(scene.find("accept_local", "wan0")) << "nothing translated comes in from outside";
}

TEST(Doctor, ASharedAddressThatTheHostHasNotIsTold) {
    auto scene = good();
    scene.subjects.elastic_ips[0].shared_with_host = true;
    const auto check = scene.find("elastic_ip", "eip-1");
    EXPECT_EQ(check->severity, Severity::warning);
    EXPECT_EQ(check->mend,
              "ip address add " + scene.subjects.elastic_ips[0].address.to_string() + "/32 dev wan0");
}

TEST(Doctor, GenericModeIsWellWhereItWasAskedFor) {
    auto scene = good();
    scene.subjects.xdp = model::XdpMode::generic;
    scene.link("lan0").xdp = netlink::XdpAttachment::generic;
    scene.host.devices["lan0"].driver = "e1000e";
    EXPECT_EQ(scene.find("xdp_mode", "lan0")->severity, Severity::ok);
    EXPECT_EQ(scene.find("driver", "lan0")->severity, Severity::ok);
}

TEST(Doctor, VirtioStopsMergingForANativeProgram) {
    auto scene = good();
    scene.host.devices["lan0"].features.insert("rx-gro-hw");
    EXPECT_EQ(scene.find("gro_hw", "lan0")->severity, Severity::ok);
    scene.link("lan0").xdp = netlink::XdpAttachment::none;
    EXPECT_EQ(scene.find("gro_hw", "lan0")->severity, Severity::error);
}

TEST(Doctor, LooseReversePathFilteringIsWell) {
    auto scene = good();
    set(scene, conf + "all/rp_filter", "1");
    set(scene, conf + "lan0/rp_filter", "2");
    EXPECT_EQ(scene.find("rp_filter", "lan0")->severity, Severity::ok);
    EXPECT_FALSE(scene.find("rp_filter", "wan0")) << "strict filtering outside keeps nothing from working";
}

TEST(Doctor, ForwardingThatIsOffForTheHostIsToldOnce) {
    auto scene = good();
    set(scene, "/proc/sys/net/ipv4/ip_forward", "0");
    set(scene, conf + "lan0/forwarding", "0");
    EXPECT_EQ(scene.find("ip_forward", "host")->severity, Severity::error);
    EXPECT_FALSE(scene.find("forwarding", "lan0"));
}

TEST(Doctor, SwitchesThatANamespaceDoesNotShowAreNoFault) {
    auto scene = good();
    scene.host.files.erase("/proc/sys/net/core/bpf_jit_enable");
    scene.host.files.erase("/proc/sys/net/ipv4/neigh/default/gc_thresh3");
    scene.host.files.erase("/proc/sys/net/netfilter/nf_conntrack_max");
    for (const auto& check : scene.examine()) {
        EXPECT_EQ(check.severity, Severity::ok) << check.check;
    }
}

TEST(Doctor, SysAdminIncludesTheCapabilitiesOfBpf) {
    auto scene = good();
    set(scene, "/proc/self/status", "CapEff:\t0000000000203000\n");
    EXPECT_EQ(scene.find("capabilities", "host")->severity, Severity::ok);
}

TEST(Doctor, ADeviceWithADotIsNamedWithSlashes) {
    auto scene = good();
    add_device(scene, "lan0.100", model::DeviceRole::inside, "802.1Q VLAN Support");
    set(scene, conf + "lan0.100/rp_filter", "1");
    EXPECT_EQ(scene.find("rp_filter", "lan0.100")->mend, "sysctl -w net/ipv4/conf/lan0.100/rp_filter=2");
}

// The switches of a VLAN device are its own in name only.
TEST(Doctor, OfAVlanTheDeviceBelowItIsLookedAt) {
    auto scene = good();
    add_device(scene, "lan1", model::DeviceRole::inside, "e1000e");
    scene.subjects.devices.pop_back();
    add_device(scene, "lan1.10", model::DeviceRole::inside, "802.1Q VLAN Support");
    netlink::Link& vlan = scene.link("lan1.10");
    vlan.kind = "vlan";
    vlan.trunk = scene.link("lan1").ifindex;
    vlan.xdp = netlink::XdpAttachment::generic;
    auto& switches = scene.host.devices["lan1"].features;
    switches = {"rx-vlan-hw-parse"};
    EXPECT_FALSE(scene.find("gro", "lan1.10")) << "the VLAN device's own says nothing";
    EXPECT_FALSE(scene.find("veth_peer", "lan1.10"));
    EXPECT_EQ(scene.find("vlan_offload", "lan1.10")->severity, Severity::ok);
    EXPECT_EQ(scene.find("vlan_offload", "lan1.10")->found, "VLAN of lan1");
    EXPECT_EQ(scene.find("lro", "lan1.10")->severity, Severity::ok);
    switches = {"rx-gro", "rx-lro", "rx-gro-hw"};
    for (const auto& [check, option] :
         std::map<std::string, std::string>{{"gro", "gro"}, {"lro", "lro"}, {"gro_hw", "rx-gro-hw"}}) {
        const auto found = scene.find(check, "lan1.10");
        ASSERT_TRUE(found) << check;
        EXPECT_EQ(found->severity, error) << check;
        EXPECT_EQ(found->mend, "ethtool -K lan1 " + option + " off");
    }
    scene.link("lan1").kind = "veth";
    EXPECT_NE(scene.find("veth_peer", "lan1.10")->text.find("far end of lan1 "), std::string::npos);

    add_device(scene, "lan1.10.5", model::DeviceRole::inside, "802.1Q VLAN Support");
    scene.link("lan1.10.5").kind = "vlan";
    scene.link("lan1.10.5").trunk = scene.link("lan1.10").ifindex;
    scene.link("lan1.10.5").xdp = netlink::XdpAttachment::generic;
    EXPECT_EQ(scene.find("gro", "lan1.10.5")->mend, "ethtool -K lan1 gro off");

    scene.host.devices.erase("lan1");
    EXPECT_EQ(scene.find("gro", "lan1.10")->severity, warning) << "it cannot be looked at";
    scene.link("lan1.10").trunk = 0;
    EXPECT_FALSE(scene.find("gro", "lan1.10")) << "of another namespace";
    EXPECT_EQ(scene.find("vlan_offload", "lan1.10")->found, "not visible from here");
}

TEST(Doctor, AMissingDeviceIsAllThatIsSaidOfIt) {
    auto scene = good();
    scene.link("lan0").name = "lan1";
    const auto checks = scene.examine();
    EXPECT_EQ(std::count_if(checks.begin(), checks.end(), [](const Check& c) { return c.subject == "lan0"; }),
              1);
}

TEST(Doctor, IsJson) {
    const Check check{"ip_forward", "host", Severity::error, "0", "IPv4 forwarding is off", "sysctl -w x=1"};
    EXPECT_EQ(nlohmann::json(check), nlohmann::json::parse(R"({
        "check": "ip_forward", "subject": "host", "severity": "error", "found": "0",
        "text": "IPv4 forwarding is off", "mend": "sysctl -w x=1"})"));
}

}  // namespace
}  // namespace sallyport::doctor

// SPDX-License-Identifier: Apache-2.0
//
// The contract against the kernel. Each test moves the process into a fresh network namespace, which goes
// away with the last descriptor of it: nothing outside is touched and nothing is left behind.
#include "netlink/mnl_netlink.h"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include "core/file.h"
#include "core/unique_fd.h"
#include "unit/netlink/netlink_contract.h"

namespace sallyport::netlink {
namespace {

// A fresh network namespace; without root inside a fresh user namespace, once for the whole process.
bool enter_fresh_network() {
    if (unshare(CLONE_NEWNET) == 0) {
        return true;
    }
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

void run(const std::string& command) {
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(cert-env33-c): fixed words only
}

class KernelWorld final : public World {
  public:
    explicit KernelWorld(std::unique_ptr<MnlNetlink> netlink) : netlink_(std::move(netlink)) {}

    static std::unique_ptr<World> make() {
        if (!enter_fresh_network()) {
            return nullptr;
        }
        auto netlink = MnlNetlink::open();
        EXPECT_TRUE(netlink) << netlink.error().message;
        return netlink ? std::make_unique<KernelWorld>(std::move(*netlink)) : nullptr;
    }

    Netlink& netlink() override { return *netlink_; }
    std::uint32_t make_device(const std::string& name) override {
        run("ip link add " + name + " type veth peer name " + name + "-peer");
        run("ip link set " + name + "-peer up");
        run("ip link set " + name + " up");
        return if_nametoindex(name.c_str());
    }
    void set_down(std::uint32_t ifindex) override { run("ip link set " + name(ifindex) + " down"); }
    void remove_device(std::uint32_t ifindex) override { run("ip link del " + name(ifindex)); }
    void add_address(const InterfaceAddress& address) override { change_address("add", address); }
    void remove_address(const InterfaceAddress& address) override { change_address("del", address); }
    void add_permanent_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) override {
        run("ip neigh add " + address.to_string() + " lladdr " + mac.to_string() + " dev " + name(ifindex));
    }
    void answer_for_neighbour(std::uint32_t ifindex, Ipv4Address address, MacAddress mac) override {
        run("ip neigh replace " + address.to_string() + " lladdr " + mac.to_string() + " nud reachable dev " +
            name(ifindex));
    }
    void remove_neighbour(std::uint32_t ifindex, Ipv4Address address) override {
        run("ip neigh del " + address.to_string() + " dev " + name(ifindex));
    }
    void open_socket(const HostSocket& socket) override {
        UniqueFd made(::socket(AF_INET, (socket.listens ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0));
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = socket.local.address.to_network();
        name.sin_port = htons(socket.local.port);
        ASSERT_EQ(
            bind(made.get(), static_cast<const sockaddr*>(static_cast<const void*>(&name)), sizeof name), 0);
        if (socket.listens) {
            ASSERT_EQ(listen(made.get(), 1), 0);
        }
        sockets_[socket] = std::move(made);
    }
    void close_socket(const HostSocket& socket) override { sockets_.erase(socket); }
    void add_foreign_route(const Ipv4Prefix& destination) override {
        run("ip route add blackhole " + destination.to_string() + " proto static");
    }

  private:
    static std::string name(std::uint32_t ifindex) {
        std::array<char, IF_NAMESIZE> buffer{};
        return if_indextoname(ifindex, buffer.data()) != nullptr ? buffer.data() : "no-such-device";
    }
    static void change_address(const std::string& verb, const InterfaceAddress& address) {
        run("ip address " + verb + " " + address.address.to_string() + "/" +
            std::to_string(address.prefix_length) + " dev " + name(address.ifindex));
    }

    std::unique_ptr<MnlNetlink> netlink_;
    std::map<HostSocket, UniqueFd> sockets_;
};

INSTANTIATE_TEST_SUITE_P(Kernel, NetlinkContract,
                         testing::Values(Implementation{"kernel", &KernelWorld::make}), implementation_name);

// What only a kernel can show.
class MnlNetlinkTest : public testing::Test {
  protected:
    void SetUp() override {
        world_ = KernelWorld::make();
        if (!world_) {
            GTEST_SKIP() << "no right to make a network namespace here";
        }
    }
    Netlink& netlink() { return world_->netlink(); }
    std::unique_ptr<World> world_;
};

TEST_F(MnlNetlinkTest, AnnouncementIsABroadcastRequestForTheOwnAddress) {
    const auto device = world_->make_device("lan0");
    const UniqueFd listener(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ARP)));
    ASSERT_TRUE(listener);
    sockaddr_ll peer{};
    peer.sll_family = AF_PACKET;
    peer.sll_protocol = htons(ETH_P_ARP);
    peer.sll_ifindex = static_cast<int>(if_nametoindex("lan0-peer"));
    ASSERT_EQ(
        bind(listener.get(), static_cast<const sockaddr*>(static_cast<const void*>(&peer)), sizeof(peer)), 0);

    ASSERT_TRUE(
        netlink().announce_address(device, MacAddress({2, 0, 0, 0, 0, 1}), Ipv4Address(198, 51, 100, 10)));
    pollfd wait{listener.get(), POLLIN, 0};
    ASSERT_EQ(poll(&wait, 1, 2000), 1);
    std::array<unsigned char, 128> frame{};
    ASSERT_GE(recv(listener.get(), frame.data(), frame.size(), 0), 42);
    const std::array<unsigned char, 42> expected{
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0,  0,   0,
        0,    1,    0x08, 0x06,                                 // to all, from the own address
        0,    1,    0x08, 0,    6,    4,    0,   1,             // Ethernet, IPv4, a request
        2,    0,    0,    0,    0,    1,    198, 51, 100, 10,   // sender
        0,    0,    0,    0,    0,    0,    198, 51, 100, 10};  // target
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), frame.begin()));
}

TEST_F(MnlNetlinkTest, SocketsOfIpv6ThatTakeIpv4AsWellHaveItsPorts) {
    run("ip link set lo up");
    const auto open = [](int type, const in6_addr& address, std::uint16_t port) {
        UniqueFd made(socket(AF_INET6, type | SOCK_CLOEXEC, 0));
        sockaddr_in6 name{};
        name.sin6_family = AF_INET6;
        name.sin6_addr = address;
        name.sin6_port = htons(port);
        EXPECT_EQ(
            bind(made.get(), static_cast<const sockaddr*>(static_cast<const void*>(&name)), sizeof name), 0);
        if (type == SOCK_STREAM) {
            EXPECT_EQ(listen(made.get(), 1), 0);
        }
        return made;
    };
    in6_addr mapped{}, loopback = IN6ADDR_LOOPBACK_INIT;
    ASSERT_EQ(inet_pton(AF_INET6, "::ffff:127.0.0.2", &mapped), 1);
    const UniqueFd any = open(SOCK_STREAM, in6addr_any, 22);
    const UniqueFd one = open(SOCK_DGRAM, mapped, 53);
    const UniqueFd alone = open(SOCK_STREAM, loopback, 25);
    run("sysctl -qw net.ipv4.ip_local_port_range='40000 50000'");
    run("sysctl -qw net.ipv4.ip_local_reserved_ports=8080,9000-9010");
    const auto ports = netlink().host_ports();
    ASSERT_TRUE(ports) << ports.error().message;
    EXPECT_EQ(ports->bound, (std::set<BoundPort>{{Ipv4Address(), 22}, {Ipv4Address(127, 0, 0, 2), 53}}));
    EXPECT_EQ(ports->ephemeral, (PortRange{40000, 50000}));
    EXPECT_EQ(ports->reserved, (std::vector<PortRange>{{8080, 8080}, {9000, 9010}}));
    EXPECT_EQ(ports->on(Ipv4Address(198, 51, 100, 10)),
              (std::vector<PortRange>{{22, 22}, {8080, 8080}, {9000, 9010}, {40000, 50000}}));
}

TEST(HostPorts, AFileThatIsNoListOfSocketsIsRefused) {
    const std::string headings = "  sl  local_address rem_address   st\n";
    EXPECT_EQ(parse_sockets("")->size(), 0U);
    EXPECT_EQ(parse_sockets(headings)->size(), 0U);
    EXPECT_EQ(parse_sockets(headings + "   0: 00000000:0016 00000000:0000 0A\n   1: 00000000:0000 0:0 07\n"),
              (std::set<HostSocket>{{{Ipv4Address(), 22}, true}}));
    for (const char* wrong :
         {"0: 00000000", "0: 00000000:", "0: 0000000:0016", "0: 0000000G:0016", "0:", "0: 00000000:10016",
          "0: 00000000:0016x", "0: 00000000:0016 0:0", "0: 00000000:0016 0:0 Z"})
        EXPECT_FALSE(parse_sockets(headings + wrong + "\n")) << wrong;
}

// A /proc of a kernel without IPv6.
class ProcTest : public testing::Test {
  protected:
    ProcTest() {
        write("sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
        write("sys/net/ipv4/ip_local_reserved_ports", "\n");
        for (const char* table : {"tcp", "udp"})
            write(std::string("thread-self/net/") + table,
                  "  sl  local_address rem_address   st\n"
                  "   0: 00000000:0016 00000000:0000 0A\n");
    }
    ~ProcTest() override { std::filesystem::remove_all(proc_); }
    ProcTest(const ProcTest&) = delete;
    ProcTest& operator=(const ProcTest&) = delete;

    void write(const std::string& name, std::string_view text) {
        std::filesystem::create_directories((proc_ / name).parent_path());
        ASSERT_TRUE(write_file((proc_ / name).string(), text));
    }
    std::filesystem::path proc_ = [] {
        std::string name = (std::filesystem::temp_directory_path() / "sallyport-proc-XXXXXX").string();
        return std::filesystem::path(mkdtemp(name.data()));
    }();
};

TEST_F(ProcTest, AKernelMayDoWithoutIpv6) {
    const auto ports = read_host_ports(proc_.string());
    ASSERT_TRUE(ports) << ports.error().message;
    EXPECT_EQ(ports->bound, (std::set<BoundPort>{{Ipv4Address(), 22}}));
}

TEST_F(ProcTest, OtherFilesThatAreAbsentAreAnErrorBecausePortsWouldBeTaken) {
    std::filesystem::remove(proc_ / "thread-self/net/udp");
    EXPECT_FALSE(read_host_ports(proc_.string()));
    EXPECT_FALSE(read_host_ports("/nonexistent"));
}

TEST_F(MnlNetlinkTest, ErrorsCarryTheReasonOfTheKernel) {
    const auto device = world_->make_device("lan0");
    const auto added = netlink().add_route(
        {Ipv4Prefix(Ipv4Address(10, 9, 0, 0), 16), RouteType::unicast, Ipv4Address(192, 0, 2, 1), device, 0});
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().message,
              "add route to 10.9.0.0/16 via 192.0.2.1: Network is unreachable (Nexthop has invalid gateway)");
}

TEST_F(MnlNetlinkTest, TellsWhenEventsWereLost) {
    const auto device = world_->make_device("lan0");
    world_->add_address({device, Ipv4Address(10, 0, 0, 1), 8});
    // More changes than the socket can hold: a batch of neighbours, written by one process.
    const std::string batch = testing::TempDir() + "sallyport-neighbours-" + std::to_string(getpid());
    std::string lines;
    for (int i = 0; i < 30000; ++i) {
        lines += "neigh replace 10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1) +
                 " lladdr 02:00:00:00:00:01 dev lan0 nud permanent\n";
    }
    ASSERT_TRUE(write_file(batch, lines));
    run("ip -batch " + batch);
    std::remove(batch.c_str());
    bool lost = false;
    std::size_t others = 0;
    for (int calls = 0; calls < 100; ++calls) {
        ASSERT_TRUE(netlink().poll_events([&](const Event& event) {
            lost = lost || std::holds_alternative<EventsLost>(event);
            ++others;
        }));
    }
    EXPECT_TRUE(lost);
    EXPECT_GT(others, 1000U) << "what was received before the loss is told as well";
    // Afterwards everything works on.
    const auto neighbours = netlink().neighbours();
    ASSERT_TRUE(neighbours) << neighbours.error().message;
    EXPECT_GE(neighbours->size(), 30000U);
}

TEST_F(MnlNetlinkTest, ReadsAndWritesTenThousandRoutesInTime) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < 10000; ++i) {
        ASSERT_TRUE(netlink().add_route(
            {Ipv4Prefix(Ipv4Address(0x0a000000U + (i << 8)), 24), RouteType::blackhole, std::nullopt, 0, 0}));
    }
    const auto routes = netlink().own_routes();
    ASSERT_TRUE(routes) << routes.error().message;
    EXPECT_EQ(routes->size(), 10000U);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(MnlNetlinkTest, APointToPointAddressHasOnlyTheHostItselfBehindIt) {
    const auto device = world_->make_device("lan0");
    run("ip address add 10.0.1.1 peer 10.0.2.0/24 dev lan0");
    const auto addresses = netlink().addresses();
    ASSERT_TRUE(addresses) << addresses.error().message;
    const InterfaceAddress expected{device, Ipv4Address(10, 0, 1, 1), 32};
    EXPECT_EQ(std::count(addresses->begin(), addresses->end(), expected), 1);
}

// An XDP program that passes everything, attached for as long as the object lives. -1 where it failed.
class PassProgram {
  public:
    PassProgram(std::uint32_t ifindex, std::uint32_t flags) {
        const std::array<bpf_insn, 2> code{
            {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
        bpf_attr load{};
        load.prog_type = BPF_PROG_TYPE_XDP;
        load.insn_cnt = code.size();
        load.insns = reinterpret_cast<std::uintptr_t>(code.data());
        load.license = reinterpret_cast<std::uintptr_t>("GPL");
        program_.reset(call(BPF_PROG_LOAD, load));
        bpf_attr attach{};
        attach.link_create.prog_fd = static_cast<std::uint32_t>(program_.get());
        attach.link_create.target_ifindex = ifindex;
        attach.link_create.attach_type = BPF_XDP;
        attach.link_create.flags = flags;
        link_.reset(call(BPF_LINK_CREATE, attach));
    }
    [[nodiscard]] bool attached() const { return static_cast<bool>(link_); }

  private:
    static int call(int command, bpf_attr& attributes) {
        return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
    }
    UniqueFd program_;
    UniqueFd link_;
};

TEST_F(MnlNetlinkTest, ShowsHowAnXdpProgramIsAttached) {
    const auto device = world_->make_device("lan0");
    const auto link = [&] {
        const auto links = netlink().links();
        return *std::find_if(links->begin(), links->end(),
                             [&](const Link& each) { return each.ifindex == device; });
    };
    {
        const PassProgram program(device, XDP_FLAGS_DRV_MODE);
        if (!program.attached()) {
            GTEST_SKIP() << "no right to load programs here";
        }
        EXPECT_EQ(link().xdp, XdpAttachment::native);
        EXPECT_NE(link().xdp_program, 0U);
    }
    EXPECT_EQ(link().xdp, XdpAttachment::none);
    EXPECT_EQ(link().xdp_program, 0U);
    const PassProgram program(device, XDP_FLAGS_SKB_MODE);
    ASSERT_TRUE(program.attached());
    EXPECT_EQ(link().xdp, XdpAttachment::generic);
}

// A list that changes while it is read comes whole or as an error, never in part: what is there all the time
// is in every list.
TEST_F(MnlNetlinkTest, ReadsWholeListsWhileTheyChange) {
    world_->make_device("lan0");
    const auto change = [](const std::string& verb, const std::string& network, const std::string& numbers) {
        run("for i in " + numbers + "; do echo \"address " + verb + " " + network +
            ".$((i / 250)).$((i % 250))/32 dev lan0\"; done | ip -batch -");
    };
    change("add", "10.1", "$(seq 1000)");
    std::atomic<bool> stop = false;
    std::thread churn([&] {
        for (int i = 0; i < 3 && !stop; ++i) {
            change("add", "10.2", "$(seq 50)");
            change("del", "10.2", "$(seq 50)");
        }
        stop = true;
    });
    std::size_t whole = 0;
    while (!stop) {
        const auto addresses = netlink().addresses();
        if (!addresses) {
            EXPECT_EQ(addresses.error().code, EINTR) << addresses.error().message;
            continue;
        }
        ++whole;
        const auto found = std::count_if(addresses->begin(), addresses->end(), [](const auto& each) {
            return Ipv4Prefix(Ipv4Address(10, 1, 0, 0), 16).contains(each.address);
        });
        if (found != 1000) {
            ADD_FAILURE() << found << " of 1000 addresses that were there all the time";
            stop = true;
        }
    }
    churn.join();
    EXPECT_GT(whole, 0U);
}

TEST_F(MnlNetlinkTest, APortThatLeavesItsBridgeIsNoRemovedDevice) {
    const auto device = world_->make_device("lan0");
    run("ip link add br0 type bridge && ip link set lan0 master br0 && ip link set lan0 nomaster");
    ASSERT_TRUE(netlink().poll_events([&](const Event& event) {
        if (const auto* removed = std::get_if<LinkRemoved>(&event)) {
            ADD_FAILURE() << "device " << removed->ifindex << " told as removed";
        }
    }));
    const auto links = netlink().links();
    ASSERT_TRUE(links);
    EXPECT_TRUE(
        std::any_of(links->begin(), links->end(), [&](const Link& link) { return link.ifindex == device; }));
}

}  // namespace
}  // namespace sallyport::netlink

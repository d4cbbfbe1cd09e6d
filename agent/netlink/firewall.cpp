// SPDX-License-Identifier: Apache-2.0
#include "netlink/firewall.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <optional>

namespace sallyport::netlink {
namespace {

struct Chain {
    std::string table;
    std::string name;
    std::optional<std::uint32_t> hook;  // none: a chain that is only jumped to
    std::optional<std::uint32_t> policy;
};

std::string text(const nlattr* attribute) {
    return mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) < 0 ? "" : mnl_attr_get_str(attribute);
}

std::optional<std::uint32_t> number(const nlattr* attribute) {
    if (mnl_attr_validate(attribute, MNL_TYPE_U32) < 0) {
        return std::nullopt;
    }
    return ntohl(mnl_attr_get_u32(attribute));
}

int read_hook(const nlattr* attribute, void* data) {
    if (mnl_attr_get_type(attribute) == NFTA_HOOK_HOOKNUM) {
        static_cast<Chain*>(data)->hook = number(attribute);
    }
    return MNL_CB_OK;
}

int read_attribute(const nlattr* attribute, void* data) {
    auto* chain = static_cast<Chain*>(data);
    switch (mnl_attr_get_type(attribute)) {
        case NFTA_CHAIN_TABLE:
            chain->table = text(attribute);
            break;
        case NFTA_CHAIN_NAME:
            chain->name = text(attribute);
            break;
        case NFTA_CHAIN_POLICY:
            chain->policy = number(attribute);
            break;
        case NFTA_CHAIN_HOOK:
            mnl_attr_parse_nested(attribute, read_hook, data);
            break;
        default:
            break;
    }
    return MNL_CB_OK;
}

int read_chain(const nlmsghdr* message, void* data) {
    if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) {
        return MNL_CB_OK;
    }
    const auto family = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family;
    if (family != NFPROTO_IPV4 && family != NFPROTO_INET) {
        return MNL_CB_OK;
    }
    Chain chain;
    mnl_attr_parse(message, sizeof(nfgenmsg), read_attribute, &chain);
    if (chain.hook == NF_INET_FORWARD && chain.policy == NF_DROP) {
        static_cast<std::vector<std::string>*>(data)->push_back((family == NFPROTO_IPV4 ? "ip " : "inet ") +
                                                                chain.table + " " + chain.name);
    }
    return MNL_CB_OK;
}

// What the kernel answers where nftables is neither built in nor a module.
bool says_absent(int error) {
    return error == EINVAL || error == EOPNOTSUPP || error == EPROTONOSUPPORT || error == ENOENT;
}

}  // namespace

Result<std::vector<std::string>> dropping_forward_chains() {
    constexpr const char* doing = "read the nftables chains";
    struct Close {
        void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
    };
    const std::unique_ptr<mnl_socket, Close> socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
    if (!socket) {
        if (says_absent(errno)) {
            return std::vector<std::string>{};
        }
        return system_failure(doing);
    }
    if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return system_failure(doing);
    }
    std::vector<char> buffer(std::size_t{64} << 10);
    auto* request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request->nlmsg_seq = 1;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
    header->nfgen_family = NFPROTO_UNSPEC;
    header->version = NFNETLINK_V0;
    if (mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
        return system_failure(doing);
    }
    std::vector<std::string> chains;
    for (;;) {
        const ssize_t received = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
        if (received < 0) {
            return system_failure(doing);
        }
        const int next = mnl_cb_run(buffer.data(), static_cast<std::size_t>(received), 1,
                                    mnl_socket_get_portid(socket.get()), read_chain, &chains);
        if (next == MNL_CB_STOP) {
            return chains;
        }
        if (next < 0) {
            if (says_absent(errno)) {
                return std::vector<std::string>{};
            }
            return system_failure(doing);
        }
    }
}

}  // namespace sallyport::netlink

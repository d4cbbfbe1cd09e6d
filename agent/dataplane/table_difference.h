// SPDX-License-Identifier: Apache-2.0
//
// Turns one ForwardingTables into another by the fewest writes, in an order in which nothing ever refers
// to what is not there: what is referred to is written before what refers to it, and removed after it.
// Used by every implementation of Dataplane, so that the order is one and is tested once.
#pragma once

#include <cstddef>
#include <cstring>
#include <variant>

#include "core/result.h"
#include "dataplane/codec.h"
#include "dataplane/dataplane.h"
#include "sallyport/abi/limits.h"

namespace sallyport::dataplane {

// Two values are the same when the programs see no difference. It matters for timeouts, whose units are
// coarser than seconds: what was read back from the kernel must not look changed.
template <typename Value>
bool same_to_programs(const Value& a, const Value& b) {
    return a == b;
}
inline bool same_to_programs(const NatGatewayEntry& a, const NatGatewayEntry& b) {
    const nat_gateway x = encode(a), y = encode(b);
    return std::memcmp(&x, &y, sizeof x) == 0;
}

// `Writer` has overloads put(key, value) and remove(key, value) for each table, told apart by their types;
// the value of a set's element is std::monostate. Both return Result<void>. `now` follows each write, so
// that after a failure the rest is the difference that is left.
template <typename Writer>
class TableDifference {
  public:
    TableDifference(ForwardingTables& now, const ForwardingTables& wanted, Writer& writer)
        : now_(now), wanted_(wanted), writer_(writer) {}

    Result<ApplyReport> write() {
        // Numbers first: an agent that starts again after a crash in the middle must give the same ones.
        // Then what protects (the host's own addresses, private prefixes), then what is referred to.
        for (auto step : {&TableDifference::add_all, &TableDifference::remove_all}) {
            if (auto done = (this->*step)(); !done) return tl::make_unexpected(done.error());
        }
        return report_;
    }

  private:
    Result<void> add_all() {
        if (now_.gateway != wanted_.gateway) {
            if (auto r = writer_.put(wanted_.gateway); !r) return r;
            ++(wanted_.gateway == GatewayEntry{} ? report_.removed : report_.written);
            now_.gateway = wanted_.gateway;
        }
        if (auto r = add(now_.identifiers, wanted_.identifiers, IDENTIFIERS_MAX); !r) return r;
        // They share a map with the host's own addresses: one that is one of these now must not be removed
        // later.
        if (auto r = remove(now_.link_broadcasts, wanted_.link_broadcasts); !r) return r;
        if (auto r = add(now_.local_addresses, wanted_.local_addresses, LOCAL_ADDRESSES_MAX); !r) return r;
        if (auto r = add(now_.link_broadcasts, wanted_.link_broadcasts, LOCAL_ADDRESSES_MAX); !r) return r;
        if (auto r = add(now_.private_prefixes, wanted_.private_prefixes, PRIVATE_PREFIXES_MAX); !r) return r;
        if (auto r = add(now_.devices, wanted_.devices, DEVICES_MAX); !r) return r;
        if (auto r = add(now_.next_hops, wanted_.next_hops, NEXT_HOPS_MAX); !r) return r;
        if (auto r = add(now_.security_groups, wanted_.security_groups, SECURITY_GROUPS_MAX); !r) return r;
        if (auto r = add(now_.port_forwards, wanted_.port_forwards, PORT_FORWARDS_MAX); !r) return r;
        if (auto r = add(now_.host_ports, wanted_.host_ports, SHARED_ELASTIC_IPS_MAX); !r) return r;
        if (auto r = add(now_.elastic_ips, wanted_.elastic_ips, ELASTIC_IPS_MAX); !r) return r;
        if (auto r = add(now_.forwarded_endpoints, wanted_.forwarded_endpoints, PORT_FORWARDS_MAX); !r)
            return r;
        if (auto r = add(now_.instances, wanted_.instances, INSTANCES_MAX); !r) return r;
        if (auto r = add(now_.reserved_ports, wanted_.reserved_ports, NAT_GATEWAYS_MAX); !r) return r;
        if (auto r = add(now_.host_limits, wanted_.host_limits, NAT_GATEWAYS_MAX); !r) return r;
        if (auto r = add(now_.nat_gateways, wanted_.nat_gateways, NAT_GATEWAYS_MAX); !r) return r;
        if (auto r = add(now_.routes, wanted_.routes, ROUTES_MAX); !r) return r;
        return add(now_.subnets, wanted_.subnets, SUBNETS_MAX);
    }

    Result<void> remove_all() {
        if (auto r = remove(now_.subnets, wanted_.subnets); !r) return r;
        if (auto r = remove(now_.routes, wanted_.routes); !r) return r;
        if (auto r = remove(now_.instances, wanted_.instances); !r) return r;
        if (auto r = remove(now_.nat_gateways, wanted_.nat_gateways); !r) return r;
        if (auto r = remove(now_.reserved_ports, wanted_.reserved_ports); !r) return r;
        if (auto r = remove(now_.host_limits, wanted_.host_limits); !r) return r;
        if (auto r = remove(now_.forwarded_endpoints, wanted_.forwarded_endpoints); !r) return r;
        if (auto r = remove(now_.elastic_ips, wanted_.elastic_ips); !r) return r;
        if (auto r = remove(now_.host_ports, wanted_.host_ports); !r) return r;
        if (auto r = remove(now_.port_forwards, wanted_.port_forwards); !r) return r;
        if (auto r = remove(now_.security_groups, wanted_.security_groups); !r) return r;
        if (auto r = remove(now_.next_hops, wanted_.next_hops); !r) return r;
        if (auto r = remove(now_.devices, wanted_.devices); !r) return r;
        if (auto r = remove(now_.private_prefixes, wanted_.private_prefixes); !r) return r;
        if (auto r = remove(now_.local_addresses, wanted_.local_addresses); !r) return r;
        return remove(now_.identifiers, wanted_.identifiers);
    }

    template <typename Key, typename Value>
    static const Key& key_of(const std::pair<const Key, Value>& element) {
        return element.first;
    }
    template <typename Key>
    static const Key& key_of(const Key& element) {
        return element;
    }
    template <typename Key, typename Value>
    static const Value& value_of(const std::pair<const Key, Value>& element) {
        return element.second;
    }
    template <typename Key>
    static std::monostate value_of(const Key&) {
        return {};
    }

    // Both are ordered, so the two are walked side by side: comparing ten thousand equal routes is a
    // matter of a millisecond.
    template <typename Container>
    Result<void> add(Container& now, const Container& wanted, std::size_t most) {
        if (wanted.size() > most) {
            return failure("there is room for " + std::to_string(most) + " elements, not for " +
                           std::to_string(wanted.size()));
        }
        if (!fit_side_by_side(now, wanted, most)) {  // then the old must go first
            if (auto r = remove(now, wanted); !r) return r;
        }
        auto at = now.begin();
        for (const auto& element : wanted) {
            while (at != now.end() && now.key_comp()(key_of(*at), key_of(element))) ++at;
            const bool there = at != now.end() && !now.key_comp()(key_of(element), key_of(*at));
            if (there && same_to_programs(value_of(*at), value_of(element))) continue;
            if (auto r = writer_.put(key_of(element), value_of(element)); !r) return r;
            ++report_.written;
            if (there) at = now.erase(at);
            at = now.insert(at, element);
        }
        return {};
    }

    template <typename Container>
    Result<void> remove(Container& now, const Container& wanted) {
        auto keep = wanted.begin();
        for (auto at = now.begin(); at != now.end();) {
            while (keep != wanted.end() && now.key_comp()(key_of(*keep), key_of(*at))) ++keep;
            if (keep != wanted.end() && !now.key_comp()(key_of(*at), key_of(*keep))) {
                ++at;
                continue;
            }
            if (auto r = writer_.remove(key_of(*at), value_of(*at)); !r) return r;
            ++report_.removed;
            at = now.erase(at);
        }
        return {};
    }

    // Whether the table has room for what is there and what is new at once.
    template <typename Container>
    static bool fit_side_by_side(const Container& now, const Container& wanted, std::size_t most) {
        std::size_t size = now.size();
        if (size + wanted.size() <= most) return true;
        for (const auto& element : wanted) {
            if (!now.contains(key_of(element))) ++size;
        }
        return size <= most;
    }

    ForwardingTables& now_;
    const ForwardingTables& wanted_;
    Writer& writer_;
    ApplyReport report_;
};

template <typename Writer>
Result<ApplyReport> write_difference(ForwardingTables& now, const ForwardingTables& wanted, Writer& writer) {
    return TableDifference<Writer>(now, wanted, writer).write();
}

}  // namespace sallyport::dataplane

// SPDX-License-Identifier: Apache-2.0
//
// Datagrams in pieces, and put together again.
#pragma once

#include <string>
#include <vector>

#include "support/packet.h"

namespace sallyport::support {

// The frames of a datagram in fragments of `most` bytes behind the IPv4 header, a multiple of eight.
std::vector<Bytes> fragments_of(const Packet& whole, std::size_t most);

// Sets the IPv4 header's checksum of an untagged frame right, after it was changed by hand.
void mend_ip_checksum(Bytes& frame);

// The datagram that these untagged frames are all the fragments of, in any order. `faults` gets what is wrong
// with it: its checksums, or fragments that are not of one datagram.
Packet put_together(const std::vector<Bytes>& frames, std::string& faults);

}  // namespace sallyport::support

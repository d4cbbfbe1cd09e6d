// SPDX-License-Identifier: Apache-2.0
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include <array>
#include <stdexcept>

#include "store/store.h"

namespace sallyport::store {

std::string digest(std::string_view text) {
    std::array<unsigned char, 32> bytes{};
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, text.data(), text.size(), bytes.data()) != 0) {
        throw std::runtime_error("the crypto library offers no SHA-256");
    }
    static constexpr char digits[] = "0123456789abcdef";
    std::string result;
    result.reserve(2 * bytes.size());
    for (const unsigned char byte : bytes) {
        result += digits[byte >> 4];
        result += digits[byte & 15];
    }
    return result;
}

std::string digest(const Document& document) {
    std::string whole = digest(document.text);
    if (document.fragments.empty()) return whole;
    // Digests have one length, so that no two sets of files are the same text.
    for (const Fragment& fragment : document.fragments)
        whole += digest(fragment.name) + digest(fragment.text);
    return digest(whole);
}

}  // namespace sallyport::store

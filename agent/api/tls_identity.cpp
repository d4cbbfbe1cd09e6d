// SPDX-License-Identifier: Apache-2.0
#include "api/tls_identity.h"

#include <fmt/format.h>
#include <gnutls/gnutls.h>

#include <memory>

#include "core/file.h"

namespace sallyport::api {

namespace {

constexpr std::size_t file_most = std::size_t{1} << 20;

gnutls_datum_t datum_of(std::string& text) {
    return {reinterpret_cast<unsigned char*>(text.data()), static_cast<unsigned>(text.size())};
}

}  // namespace

Result<TlsIdentity> load_tls_identity(const config::Tls& files) {
    Result<std::string> certificate = read_file(files.certificate, file_most);
    if (!certificate) return tl::unexpected(certificate.error());
    Result<std::string> key = read_secret_file(files.key, file_most);
    if (!key) return tl::unexpected(key.error());
    TlsIdentity identity{*std::move(certificate), *std::move(key)};

    gnutls_certificate_credentials_t credentials = nullptr;
    if (gnutls_certificate_allocate_credentials(&credentials) != GNUTLS_E_SUCCESS)
        return failure("make TLS credentials");
    const std::unique_ptr<gnutls_certificate_credentials_st, decltype(&gnutls_certificate_free_credentials)>
        owner(credentials, &gnutls_certificate_free_credentials);
    const gnutls_datum_t certificate_text = datum_of(identity.certificate);
    const gnutls_datum_t key_text = datum_of(identity.key);
    const int status =
        gnutls_certificate_set_x509_key_mem(credentials, &certificate_text, &key_text, GNUTLS_X509_FMT_PEM);
    if (status < 0) {
        return failure(fmt::format("serve TLS with {} and {}: {}", files.certificate, files.key,
                                   gnutls_strerror(status)));
    }
    return identity;
}

}  // namespace sallyport::api

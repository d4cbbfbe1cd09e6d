// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "host/runtime.h"

#include <linux/bpf.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

extern "C" {
__thread struct host_processor host_processor = {0, 0, 0x9e3779b97f4a7c15ULL};
uint64_t host_now_ns = 0;
}

struct host_map {
    using Value = std::unique_ptr<char[]>;

    host_map_kind kind;
    std::size_t key_bytes, value_bytes, max_entries;
    std::mutex mutex;
    std::unordered_map<std::string, Value> elements;
    std::vector<Value> deleted;

    std::string key_of(const void* key) const { return {static_cast<const char*>(key), key_bytes}; }

    // The longest prefix that covers `key`: 32 bits of length, then the bits that are compared.
    void* longest(const char* key) {
        void* best = nullptr;
        std::uint32_t best_length = 0;
        for (auto& [prefix, value] : elements) {
            std::uint32_t length = 0;
            std::memcpy(&length, prefix.data(), sizeof length);
            bool covers = true;
            for (std::uint32_t bit = 0; bit < length && covers; ++bit) {
                const std::size_t byte = 4 + bit / 8;
                covers = ((prefix[byte] ^ key[byte]) >> (7 - bit % 8) & 1) == 0;
            }
            if (covers && (best == nullptr || length >= best_length)) {
                best = value.get();
                best_length = length;
            }
        }
        return best;
    }
};

extern "C" {

host_map* host_map_new(host_map_kind kind, std::size_t key_bytes, std::size_t value_bytes,
                       std::size_t max_entries) {
    auto map = std::make_unique<host_map>();
    map->kind = kind;
    map->key_bytes = key_bytes;
    map->value_bytes = value_bytes;
    map->max_entries = max_entries;
    return map.release();
}

void host_map_free(host_map* map) {
    delete map;
}

void* host_map_lookup(host_map* map, const void* key) {
    const std::lock_guard lock(map->mutex);
    if (map->kind == HOST_PREFIXES) return map->longest(static_cast<const char*>(key));
    const auto found = map->elements.find(map->key_of(key));
    return found == map->elements.end() ? nullptr : found->second.get();
}

long host_map_update(host_map* map, const void* key, const void* value, std::uint64_t flags) {
    const std::lock_guard lock(map->mutex);
    auto name = map->key_of(key);
    const auto found = map->elements.find(name);
    if (found != map->elements.end()) {
        if (flags == BPF_NOEXIST) return -EEXIST;
        std::memcpy(found->second.get(), value, map->value_bytes);
        return 0;
    }
    if (flags == BPF_EXIST) return -ENOENT;
    if (map->elements.size() >= map->max_entries) return -E2BIG;
    auto element = std::make_unique<char[]>(map->value_bytes);
    std::memcpy(element.get(), value, map->value_bytes);
    map->elements.emplace(std::move(name), std::move(element));
    return 0;
}

long host_map_delete(host_map* map, const void* key) {
    const std::lock_guard lock(map->mutex);
    const auto found = map->elements.find(map->key_of(key));
    if (found == map->elements.end()) return -ENOENT;
    map->deleted.push_back(std::move(found->second));
    map->elements.erase(found);
    return 0;
}

void host_map_forget(host_map* map) {
    const std::lock_guard lock(map->mutex);
    map->deleted.clear();
}

std::size_t host_map_count(host_map* map) {
    const std::lock_guard lock(map->mutex);
    return map->elements.size();
}

long host_no_packet(const char* helper) {
    std::fprintf(stderr, "%s: there is no packet on the host\n", helper);
    std::abort();
}
}

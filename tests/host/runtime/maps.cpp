// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "host/runtime.h"

#include <linux/bpf.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

extern "C" {
__thread struct host_processor host_processor = {0, 0, 0x9e3779b97f4a7c15ULL};
uint64_t host_now_ns = 0;
}

namespace {

// An element: its key, and from the next multiple of eight on its value.
struct Node {
    Node* next_in_chain = nullptr;
    Node *older = nullptr, *newer = nullptr;
    std::unique_ptr<std::uint64_t[]> memory;

    [[nodiscard]] char* key() const { return reinterpret_cast<char*>(memory.get()); }
};

}  // namespace

struct host_map {
    host_map_kind kind;
    std::size_t key_bytes, value_bytes, max_entries;
    std::mutex mutex;
    std::vector<Node*> chains = std::vector<Node*>(16);
    Node *oldest = nullptr, *newest = nullptr;
    std::size_t count = 0;
    std::vector<std::unique_ptr<Node>> deleted;

    host_map(host_map_kind of, std::size_t key, std::size_t value, std::size_t entries)
        : kind(of), key_bytes(key), value_bytes(value), max_entries(entries) {}
    ~host_map() { clear(); }
    host_map(const host_map&) = delete;
    host_map& operator=(const host_map&) = delete;

    [[nodiscard]] std::size_t value_offset() const { return (key_bytes + 7) / 8 * 8; }
    [[nodiscard]] void* value_of(const Node* node) const { return node->key() + value_offset(); }

    Node** chain(const void* key) {
        const std::string_view bytes(static_cast<const char*>(key), key_bytes);
        return &chains[std::hash<std::string_view>{}(bytes) % chains.size()];
    }
    // Where the pointer to the node of `key` is; it is null if there is none.
    Node** find(const void* key) {
        Node** at = chain(key);
        while (*at != nullptr && std::memcmp((*at)->key(), key, key_bytes) != 0) at = &(*at)->next_in_chain;
        return at;
    }

    void join(Node* node) {  // as the newest
        node->older = newest;
        node->newer = nullptr;
        (newest != nullptr ? newest->newer : oldest) = node;
        newest = node;
    }
    void leave(Node* node) {
        (node->older != nullptr ? node->older->newer : oldest) = node->newer;
        (node->newer != nullptr ? node->newer->older : newest) = node->older;
    }

    void insert(const void* key, const void* new_value) {
        if (count >= chains.size()) grow();
        auto node = std::make_unique<Node>();
        node->memory = std::make_unique<std::uint64_t[]>((value_offset() + value_bytes + 7) / 8);
        std::memcpy(node->key(), key, key_bytes);
        std::memcpy(value_of(node.get()), new_value, value_bytes);
        Node** first = chain(key);
        node->next_in_chain = *first;
        *first = node.get();
        join(node.release());
        ++count;
    }
    void remove(Node** at) {
        Node* node = *at;
        *at = node->next_in_chain;
        leave(node);
        --count;
        deleted.emplace_back(node);
    }
    void grow() {
        chains.assign(chains.size() * 4, nullptr);
        for (Node* node = oldest; node != nullptr; node = node->newer) {
            Node** first = chain(node->key());
            node->next_in_chain = *first;
            *first = node;
        }
    }
    void clear() {
        for (Node* node = oldest; node != nullptr;) {
            Node* const next = node->newer;
            *chain(node->key()) = nullptr;
            delete node;
            node = next;
        }
        oldest = newest = nullptr;
        count = 0;
        deleted.clear();
    }

    // The longest prefix that covers `key`: 32 bits of length, then the bits that are compared.
    [[nodiscard]] void* longest(const char* key) const {
        const Node* best = nullptr;
        std::uint32_t best_length = 0;
        for (const Node* node = oldest; node != nullptr; node = node->newer) {
            std::uint32_t length = 0;
            std::memcpy(&length, node->key(), sizeof length);
            if ((best == nullptr || length >= best_length) && covers(node->key() + 4, key + 4, length)) {
                best = node;
                best_length = length;
            }
        }
        return best == nullptr ? nullptr : value_of(best);
    }
    static bool covers(const char* prefix, const char* key, std::uint32_t length) {
        if (std::memcmp(prefix, key, length / 8) != 0) return false;
        return length % 8 == 0 || ((prefix[length / 8] ^ key[length / 8]) & 0xff) >> (8 - length % 8) == 0;
    }
};

extern "C" {

void* host_array_new(std::size_t bytes) {
    bytes = (bytes + 4095) / 4096 * 4096;
    void* memory = std::aligned_alloc(4096, bytes);
    if (memory == nullptr) std::abort();
    std::memset(memory, 0, bytes);
    return memory;
}

host_map* host_map_new(host_map_kind kind, std::size_t key_bytes, std::size_t value_bytes,
                       std::size_t max_entries) {
    return std::make_unique<host_map>(kind, key_bytes, value_bytes, max_entries).release();
}

void host_map_free(host_map* map) {
    delete map;
}

void* host_map_lookup(host_map* map, const void* key) {
    const std::lock_guard lock(map->mutex);
    if (map->kind == HOST_PREFIXES) return map->longest(static_cast<const char*>(key));
    Node* const node = *map->find(key);
    if (node == nullptr) return nullptr;
    if (map->kind == HOST_LRU) {
        map->leave(node);
        map->join(node);
    }
    return map->value_of(node);
}

long host_map_update(host_map* map, const void* key, const void* value, std::uint64_t flags) {
    const std::lock_guard lock(map->mutex);
    if (const Node* node = *map->find(key); node != nullptr) {
        if (flags == BPF_NOEXIST) return -EEXIST;
        std::memcpy(map->value_of(node), value, map->value_bytes);
        return 0;
    }
    if (flags == BPF_EXIST) return -ENOENT;
    if (map->count >= map->max_entries) {
        if (map->kind != HOST_LRU) return -E2BIG;
        map->remove(map->find(map->oldest->key()));
    }
    map->insert(key, value);
    return 0;
}

long host_map_delete(host_map* map, const void* key) {
    const std::lock_guard lock(map->mutex);
    Node** const at = map->find(key);
    if (*at == nullptr) return -ENOENT;
    map->remove(at);
    return 0;
}

void host_map_forget(host_map* map) {
    const std::lock_guard lock(map->mutex);
    map->deleted.clear();
}

void host_map_clear(host_map* map) {
    const std::lock_guard lock(map->mutex);
    map->clear();
}

std::size_t host_map_count(host_map* map) {
    const std::lock_guard lock(map->mutex);
    return map->count;
}
}

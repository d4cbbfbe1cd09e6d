// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pinned_state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/pin_name.h"
#include "dataplane/programs.h"
#include "sallyport/abi/limits.h"

namespace sallyport::dataplane {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view meta_name = "meta";

std::string version_name(std::uint32_t version) {
    return fmt::format("v{}", version);
}

bool is_bpffs(const std::string& path) {
    struct statfs status {};
    return statfs(path.c_str(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
}

Result<void> make_directory(const std::string& path) {
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return system_failure("make directory " + path);
    return {};
}

Result<std::vector<std::string>> names_in(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (auto at = fs::directory_iterator(directory, error); !error && at != fs::directory_iterator();
         at.increment(error)) {
        names.push_back(at->path().filename().string());
    }
    if (error == std::errc::no_such_file_or_directory) return names;
    if (error) return system_failure("read directory " + directory, error.value());
    std::sort(names.begin(), names.end());
    return names;
}

Result<void> remove_all_in(const std::string& directory) {
    const auto names = names_in(directory);
    if (!names) return tl::make_unexpected(names.error());
    for (const std::string& name : *names) {
        const std::string path = directory + "/" + name;
        if (unlink(path.c_str()) != 0 && errno != ENOENT) return system_failure("remove " + path);
    }
    return {};
}

Result<void> remove_directory(const std::string& path) {
    if (auto removed = remove_all_in(path); !removed) return removed;
    if (rmdir(path.c_str()) != 0 && errno != ENOENT) return system_failure("remove directory " + path);
    return {};
}

// Makes sure that `path` is a directory on a bpffs.
Result<void> provide_bpffs(const std::string& path) {
    if (is_bpffs(path)) return {};
    const std::string parent = fs::path(path).parent_path().string();
    if (!is_bpffs(parent)) {
        std::error_code error;
        fs::create_directories(parent, error);
        if (error) return system_failure("make directory " + parent, error.value());
        // Where the parent is the kernel's own mount point (/sys/fs/bpf), that is the place. A directory
        // with content must not be hidden by a mount, so then the bpffs goes on the directory itself.
        std::string place = parent;
        if (!fs::is_empty(parent, error) || error) {
            if (auto made = make_directory(path); !made) return made;
            if (!fs::is_empty(path, error) || error) {
                return failure(
                    fmt::format("{} is not on a bpffs and not empty: give a --pin-dir on a bpffs "
                                "(mount -t bpf bpf /sys/fs/bpf)",
                                path));
            }
            place = path;
        }
        if (mount("bpf", place.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
            return system_failure("mount a bpffs on " + place);
        }
    }
    return make_directory(path);
}

struct Shape {
    bpf_map_type type = BPF_MAP_TYPE_UNSPEC;
    std::uint32_t key_size = 0, value_size = 0, max_entries = 0, flags = 0;
    bool operator==(const Shape&) const = default;
};

Shape shape_of(const bpf_map* map) {
    return Shape{bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map),
                 bpf_map__max_entries(map), bpf_map__map_flags(map)};
}

Result<Shape> shape_of(int fd) {
    bpf_map_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(fd, &info, &length) != 0) return system_failure("ask for the map's shape");
    // A devmap gets this one from the kernel itself: programs may only read it.
    std::uint32_t flags = info.map_flags;
    if (info.type == BPF_MAP_TYPE_DEVMAP) flags &= ~std::uint32_t{BPF_F_RDONLY_PROG};
    return Shape{static_cast<bpf_map_type>(info.type), info.key_size, info.value_size, info.max_entries,
                 flags};
}

// Far fewer than there are of other flows: those that stay inside and have security groups.
std::uint32_t inner_flows(const TableSize& size) {
    constexpr std::uint64_t least = 4096;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        std::uint64_t{size.flow_regions} * FLOW_REGION_BUCKETS, least, INNER_FLOWS_MAX));
}

Result<void> set_sizes(bpf_object* object, const TableSize& size) {
    const std::array<std::pair<const char*, std::uint32_t>, 5> sizes{{
        {"flow_buckets", size.flow_regions * FLOW_REGION_BUCKETS},
        {"flow_locks", size.flow_regions},
        {"hosts", size.flow_regions * HOST_BUCKETS_PER_REGION},
        {"port_sets", size.port_sets},
        {"inner_flows", inner_flows(size)},
    }};
    for (const auto& [name, entries] : sizes) {
        bpf_map* map = bpf_object__find_map_by_name(object, name);
        if (map == nullptr) return failure(std::string("the programs have no map ") + name);
        if (const int error = bpf_map__set_max_entries(map, entries); error != 0) {
            return system_failure(std::string("size the map ") + name, -error);
        }
    }
    return {};
}

// Calls `use` with each map of the object that is declared in maps.h.
Result<void> for_each_declared(bpf_object* object, const std::function<Result<void>(bpf_map*)>& use) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (bpf_map__is_internal(map)) continue;
        if (auto used = use(map); !used)
            return failure_within(std::string("map ") + bpf_map__name(map), used.error());
    }
    return {};
}

std::string what_to_do(const std::string& pin_dir) {
    return fmt::format(
        "run `sallyport detach` with the version of Sallyport that made it, or remove {} by hand, "
        "which ends all of its flows",
        pin_dir);
}

}  // namespace

TableSize table_size(std::uint32_t flow_capacity) {
    constexpr std::uint64_t entries_per_region = FLOW_REGION_BUCKETS * FLOW_BUCKET_ENTRIES * 7 / 10;
    const std::uint64_t entries = std::uint64_t{flow_capacity} * 2;
    TableSize size;
    size.flow_regions = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        (entries + entries_per_region - 1) / entries_per_region, 1, FLOW_REGIONS_MAX));
    // Each busy remote wants a set; one is busy from some thousands of flows on.
    size.port_sets =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(entries / 32768, 16, PORT_SETS_MAX));
    return size;
}

Result<PinDirectory> PinDirectory::open(const std::string& path) {
    const fs::path whole = fs::path(path).lexically_normal();
    if (!whole.is_absolute() || whole == "/") return failure("the pin directory must be an absolute path");
    const std::string directory = whole.has_filename() ? whole.string() : whole.parent_path().string();

    if (auto provided = provide_bpffs(directory); !provided) return tl::make_unexpected(provided.error());
    UniqueFd lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock) return system_failure("open " + directory);
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        if (error == EWOULDBLOCK) {
            return failure(fmt::format("another agent works on {}: stop it first", directory), error);
        }
        return system_failure("lock " + directory, error);
    }

    const auto names = names_in(directory);
    if (!names) return tl::make_unexpected(names.error());
    for (const std::string& name : *names) {
        if (name.starts_with('v') && name != version_name(SALLYPORT_LAYOUT_VERSION)) {
            return failure(fmt::format(
                "{} holds state of layout {}, and this version knows layout {} only: {}", directory, name,
                version_name(SALLYPORT_LAYOUT_VERSION), what_to_do(directory + "/" + name)));
        }
    }
    return PinDirectory(directory, std::move(lock));
}

std::string PinDirectory::version_path() const {
    return path_ + "/" + version_name(SALLYPORT_LAYOUT_VERSION);
}

Result<PinnedState> PinnedState::open_or_make(const PinDirectory& directory, std::uint32_t flow_capacity,
                                              std::string_view version) {
    PinnedState state(directory.version_path());
    if (access((state.directory_ + "/maps/" + std::string(meta_name)).c_str(), F_OK) == 0) {
        if (auto adopted = state.adopt(); !adopted) {
            return failure_within("pinned state in " + state.directory_, adopted.error());
        }
        return state;
    }

    // No meta: nothing is there, or a crash came before all was. A link is made long after meta and goes
    // before it, so with one there somebody else has been at work.
    const auto linked = state.linked_devices();
    if (!linked) return tl::make_unexpected(linked.error());
    if (!linked->empty()) {
        return failure(fmt::format("{} has links but lacks the map {}: {}", state.directory_, meta_name,
                                   what_to_do(state.directory_)));
    }
    for (const std::string& path : {directory.version_path(), state.directory_ + "/maps",
                                    state.directory_ + "/programs", state.directory_ + "/links"}) {
        if (auto made = make_directory(path); !made) return tl::make_unexpected(made.error());
    }
    for (const char* folder : {"/maps", "/programs"}) {
        if (auto removed = remove_all_in(state.directory_ + folder); !removed) {
            return tl::make_unexpected(removed.error());
        }
    }
    if (auto made = state.make(flow_capacity, version); !made) {
        return failure_within("make pinned state in " + state.directory_, made.error());
    }
    return state;
}

Result<void> PinnedState::make(std::uint32_t flow_capacity, std::string_view version) {
    const TableSize size = table_size(flow_capacity);
    meta_.layout_version = SALLYPORT_LAYOUT_VERSION;
    meta_.flow_regions = size.flow_regions;
    meta_.flow_capacity = flow_capacity;
    meta_.port_sets = size.port_sets;
    std::memcpy(meta_.made_by, version.data(), std::min(version.size(), sizeof meta_.made_by - 1));
    if (getrandom(meta_.hash_seed, sizeof meta_.hash_seed, 0) !=
        static_cast<ssize_t>(sizeof meta_.hash_seed)) {
        return system_failure("draw the seed of the flow table");
    }

    return with_declared_maps([&](bpf_object* object) -> Result<void> {
        if (auto sized = set_sizes(object, size); !sized) return sized;
        bpf_program* program = nullptr;
        bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
        if (const int error = bpf_object__load(object); error != 0) {
            return system_failure(
                fmt::format("create maps for {} flows ({} MiB)", flow_capacity,
                            std::uint64_t{size.flow_regions} * FLOW_REGION_BUCKETS * FLOW_BUCKET_BYTES >> 20),
                -error);
        }
        auto pinned = for_each_declared(object, [&](bpf_map* map) -> Result<void> {
            UniqueFd fd(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
            if (!fd) return system_failure("keep");
            const std::string name = bpf_map__name(map);
            if (name != meta_name && bpf_obj_pin(fd.get(), (directory_ + "/maps/" + name).c_str()) != 0) {
                return system_failure("pin");
            }
            maps_.emplace(name, std::move(fd));
            return {};
        });
        if (!pinned) return pinned;
        const std::uint32_t first = 0;
        if (bpf_map_update_elem(map(meta_name), &first, &meta_, BPF_ANY) != 0) {
            return system_failure("describe the state");
        }
        if (bpf_obj_pin(map(meta_name), (directory_ + "/maps/" + std::string(meta_name)).c_str()) != 0) {
            return system_failure("pin the state's description");
        }
        made_ = true;
        return {};
    });
}

Result<void> PinnedState::adopt() {
    const auto open_map = [&](std::string_view name) -> Result<void> {
        UniqueFd fd(bpf_obj_get((directory_ + "/maps/" + std::string(name)).c_str()));
        if (!fd) return system_failure(fmt::format("open map {}", name));
        maps_.emplace(name, std::move(fd));
        return {};
    };
    if (auto opened = open_map(meta_name); !opened) return opened;
    const auto meta_shape = shape_of(map(meta_name));
    if (!meta_shape) return tl::make_unexpected(meta_shape.error());
    // The version stands first in every layout, so the element is read whole however long it is.
    std::vector<std::byte> bytes(std::max<std::size_t>(meta_shape->value_size, sizeof meta_));
    const std::uint32_t first = 0;
    if (bpf_map_lookup_elem(map(meta_name), &first, bytes.data()) != 0)
        return system_failure("read map meta");
    std::memcpy(&meta_, bytes.data(), sizeof meta_);
    if (meta_.layout_version != SALLYPORT_LAYOUT_VERSION || meta_shape->value_size != sizeof meta_) {
        return failure(fmt::format("it has layout version {}, and this version knows {} only: {}",
                                   meta_.layout_version, SALLYPORT_LAYOUT_VERSION, what_to_do(directory_)));
    }
    if (meta_.flow_regions == 0 || meta_.flow_regions > FLOW_REGIONS_MAX || meta_.port_sets == 0 ||
        meta_.port_sets > PORT_SETS_MAX) {
        return failure("its description makes no sense: " + what_to_do(directory_));
    }

    return with_declared_maps([&](bpf_object* object) -> Result<void> {
        if (auto sized = set_sizes(object, TableSize{meta_.flow_regions, meta_.port_sets}); !sized)
            return sized;
        return for_each_declared(object, [&](bpf_map* declared) -> Result<void> {
            const std::string_view name = bpf_map__name(declared);
            if (name != meta_name) {
                if (auto opened = open_map(name); !opened) {
                    return failure(opened.error().message + "; " + what_to_do(directory_),
                                   opened.error().code);
                }
            }
            const auto shape = shape_of(map(name));
            if (!shape) return tl::make_unexpected(shape.error());
            if (*shape != shape_of(declared)) {
                return failure("it has another shape than this version gives it: " + what_to_do(directory_));
            }
            return {};
        });
    });
}

int PinnedState::map(std::string_view name) const {
    const auto at = maps_.find(name);
    return at == maps_.end() ? -1 : at->second.get();
}

std::string PinnedState::program_path(std::string_view name) const {
    return directory_ + "/programs/" + pin_name(name);
}

std::string PinnedState::link_path(std::string_view device) const {
    return directory_ + "/links/" + pin_name(device);
}

Result<std::vector<std::string>> PinnedState::linked_devices() const {
    auto names = names_in(directory_ + "/links");
    if (!names) return names;
    for (std::string& name : *names) name = device_of_pin(name);
    return names;
}

Result<void> PinnedState::remove() {
    // meta first: what is left after a crash then is half made, and is made anew.
    const std::string meta_path = directory_ + "/maps/" + std::string(meta_name);
    if (unlink(meta_path.c_str()) != 0 && errno != ENOENT) return system_failure("remove " + meta_path);
    for (const char* folder : {"/maps", "/programs", "/links"}) {
        if (auto removed = remove_directory(directory_ + folder); !removed) return removed;
    }
    if (rmdir(directory_.c_str()) != 0 && errno != ENOENT) return system_failure("remove " + directory_);
    return {};
}

}  // namespace sallyport::dataplane

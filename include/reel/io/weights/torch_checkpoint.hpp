#pragma once
// Tensors that Python saved with torch.save, read without executing anything. Needs zlib (target reel::io).
//
// Since PyTorch 1.6 the file is a zip archive: <prefix>/data.pkl, a pickle in which each tensor refers to a storage by
// a key, and <prefix>/data/<key>, the storage's bytes. Before, it was five pickles (a magic number, a protocol
// version, system information, the object, the storages' keys) followed by each storage's length and bytes.

#include <reel/core/error.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/torch_tensors.hpp>
#include <reel/io/weights/zip.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

template <class = void>
[[nodiscard]] TorchCheckpoint read_torch_zip(const std::shared_ptr<const MappedFile>& file, bool verify,
                                             TorchObjects objects) {
    const std::string& path = file->path();
    const ZipEntries entries = read_zip(file->bytes(), path);
    const auto pickle = std::find_if(entries.begin(), entries.end(), [](const auto& entry) {
        return entry.first == "data.pkl" || entry.first.ends_with("/data.pkl");
    });
    require(pickle != entries.end(), path, ": a zip archive, but not one of torch.save (it holds no data.pkl)");
    const std::string prefix = pickle->first.substr(0, pickle->first.size() - std::strlen("data.pkl"));
    require(!entries.contains(prefix + "constants.pkl"), path,
            ": a TorchScript program, not a checkpoint; save its state_dict() with torch.save");
    if (entries.contains(prefix + "byteorder")) {
        const auto order = zip_content(entries, prefix + "byteorder", path);
        require(std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) == "little", path,
                ": saved on a big-endian machine, which is not supported");
    }
    TorchTensors tensors(file, zip_content(entries, pickle->first, path, verify), objects);
    const std::size_t used = tensors.read();
    require(used == pickle->second.bytes.size(), path, ": bytes follow the pickle's end");
    std::map<std::string_view, std::span<const std::byte>> storages; // each byte is checksummed once
    tensors.attach([&](std::string_view key, std::size_t) {
        const auto [storage, added] = storages.try_emplace(key);
        if (added) {
            storage->second = zip_content(entries, concat_text(prefix, "data/", key), path, verify);
        }
        return storage->second;
    });
    return tensors.result();
}

template <class = void>
[[nodiscard]] TorchCheckpoint read_torch_legacy(const std::shared_ptr<const MappedFile>& file, TorchObjects objects) {
    const std::string& path = file->path();
    std::span<const std::byte> rest = file->bytes();
    const auto next_pickle = [&] {
        // The pickles' lengths are not announced, and the storages follow them.
        TorchTensors tensors(file, rest.first(std::min(rest.size(), Pickle::size_limit)), objects);
        rest = rest.subspan(tensors.read());
        return tensors;
    };
    rest = rest.subspan(std::min<std::size_t>(rest.size(), 15)); // the magic number, which file_kind() checked
    (void)next_pickle();                                         // the protocol's version
    require(!next_pickle().denies("little_endian"), path, ": saved on a big-endian machine, which is not supported");
    TorchTensors tensors = next_pickle();
    std::map<std::string_view, std::span<const std::byte>> storages;
    next_pickle().for_each_text([&](std::string_view key) {
        const std::optional<std::size_t> element = tensors.element_size(key);
        require(element.has_value(), path, ": no tensor refers to storage \"", key.substr(0, 200), "\"");
        require(rest.size() >= 8, path, ": truncated before storage \"", key, "\"");
        const auto count = load_little<std::uint64_t>(rest, 0);
        rest = rest.subspan(8);
        require(count <= rest.size() / *element, path, ": truncated: storage \"", key, "\" should have ", count,
                " elements of ", *element, " bytes, but only ", rest.size(), " bytes follow");
        storages[key] = rest.first(count * *element);
        rest = rest.subspan(count * *element);
    });
    require(rest.empty(), path, ": ", rest.size(), " bytes follow the last storage");
    tensors.attach([&](std::string_view key, std::size_t) {
        const auto found = storages.find(key);
        require(found != storages.end(), path, ": the file holds no storage \"", key, "\"");
        return found->second;
    });
    return tensors.result();
}

} // namespace detail

/// Reads a file of Python's torch.save: a state dict, a nest of dicts and lists with tensors in it, or one bare tensor
/// (see TorchCheckpoint for the names). Dense tensors point into a memory map; others are copied. Nothing is executed:
/// a pickle that uses an opcode or a Python global outside a short list is an Error that names it, and so is everything
/// that does not fit (sizes, offsets, strides, checksums). `verify_checksums` = false skips the archive's CRC-32s of
/// tensors, which takes about a second per GB. TorchObjects::skip reads the tensors of a training program's checkpoint
/// that also holds objects of its own.
template <class = void>
[[nodiscard]] TorchCheckpoint read_torch_checkpoint(const std::filesystem::path& path, bool verify_checksums = true,
                                                    TorchObjects objects = TorchObjects::refuse) {
    const auto file = std::make_shared<const MappedFile>(path);
    refuse_placeholder(file->bytes(), file->path());
    switch (file_kind(file->bytes())) {
    case FileKind::torch_zip:
        return detail::read_torch_zip(file, verify_checksums, objects);
    case FileKind::torch_legacy:
        return detail::read_torch_legacy(file, objects);
    default:
        fail(file->path(), ": not a PyTorch checkpoint (neither a zip archive nor torch.save's older format)");
    }
}

} // namespace reel

#pragma once
// The safetensors format: 8 bytes little-endian length N, N bytes of JSON {"name": {"dtype", "shape",
// "data_offsets": [begin, end]}, ..., "__metadata__": {text: text}}, then the tensors, dense and without gaps.
// Needs nlohmann-json (target reel::io).

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace reel {

/// The `__metadata__` of a file: names and texts.
using TextMetadata = std::map<std::string, std::string>;

/// What a safetensors file holds. The tensors point into a memory map that they keep alive.
struct Safetensors {
    StateDict tensors;
    TextMetadata metadata;
};

namespace detail {

struct SafetensorsType {
    std::string_view name;
    DType dtype;
};

// In the order in which the official writer places them: every tensor then lies aligned.
inline constexpr std::array safetensors_types{
    SafetensorsType{"I64", DType::i64},      SafetensorsType{"F64", DType::f64},   SafetensorsType{"F32", DType::f32},
    SafetensorsType{"I32", DType::i32},      SafetensorsType{"BF16", DType::bf16}, SafetensorsType{"F16", DType::f16},
    SafetensorsType{"I16", DType::i16},      SafetensorsType{"I8", DType::i8},     SafetensorsType{"U8", DType::u8},
    SafetensorsType{"BOOL", DType::boolean},
};

/// Index into the table above.
[[nodiscard]] inline std::size_t safetensors_rank(DType dtype) {
    const auto* const found = std::find_if(safetensors_types.begin(), safetensors_types.end(),
                                           [&](const SafetensorsType& type) { return type.dtype == dtype; });
    return static_cast<std::size_t>(found - safetensors_types.begin());
}

/// A member of a tensor's description, which must be there.
template <class = void>
[[nodiscard]] const nlohmann::json& safetensors_member(const nlohmann::json& entry, const char* key,
                                                       const std::string& where) {
    require(entry.is_object(), where, ": expected an object with dtype, shape and data_offsets");
    const auto item = entry.find(key);
    require(item != entry.end(), where, ": \"", key, "\" is missing");
    return *item;
}

template <class = void>
[[nodiscard]] std::vector<std::int64_t> safetensors_integers(const nlohmann::json& value, const char* key,
                                                             const std::string& where) {
    require(value.is_array(), where, ": \"", key, "\" is not a list of integers");
    require(value.size() <= 64, where, ": \"", key, "\" has ", value.size(), " numbers, at most 64 are supported");
    std::vector<std::int64_t> integers;
    integers.reserve(value.size());
    for (const auto& item : value) {
        require(item.is_number_unsigned() && item.get<std::uint64_t>() <= INT64_MAX, where, ": \"", key,
                "\" holds something other than integers from 0 to 2^63-1");
        integers.push_back(item.get<std::int64_t>());
    }
    return integers;
}

struct TensorRange {
    std::uint64_t begin;
    std::uint64_t end;
    std::string_view name;
};

/// The ranges must follow each other and cover the data exactly: what no tensor owns could hide anything.
inline void check_safetensors_ranges(std::vector<TensorRange> ranges, std::uint64_t data_size,
                                     const std::string& path) {
    std::sort(ranges.begin(), ranges.end(), [](const TensorRange& a, const TensorRange& b) {
        return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t reached = 0;
    for (const TensorRange& range : ranges) {
        require(range.begin == reached, path, ": tensor \"", range.name, "\" starts at data byte ", range.begin,
                range.begin < reached ? ", inside the tensor before it, which ends at "
                                      : ", leaving a gap after the tensor before it, which ends at ",
                reached);
        reached = range.end;
    }
    require(reached == data_size, path, ": the tensors end at data byte ", reached, ", but the file has ", data_size,
            " bytes of data");
}

} // namespace detail

/// Reads a safetensors file; its data is mapped, not copied. Everything is checked before it is used: the header's
/// length, JSON, types, shapes and byte ranges. Throws Error naming the file, the tensor, and expected and found.
template <class = void>
[[nodiscard]] Safetensors read_safetensors_file(const std::filesystem::path& path) {
    // Far above any model's (100 bytes a tensor; Stable Diffusion's UNet has 686). The official reader's is 100 MB.
    constexpr std::uint64_t header_limit = std::uint64_t{32} << 20;
    constexpr std::size_t tensor_limit = std::size_t{1} << 18;
    constexpr std::size_t metadata_limit = std::size_t{1} << 16;
    const auto file = std::make_shared<const MappedFile>(path);
    const std::string& name = file->path();
    refuse_placeholder(file->bytes(), name);
    require(file->size() >= 8, name, ": not a safetensors file: ", file->size(), " bytes, too short for a header");
    const auto header_size = detail::load_little<std::uint64_t>(file->bytes(), 0);
    require(header_size <= header_limit, name, ": not a safetensors file: its first 8 bytes announce a header of ",
            header_size, " bytes");
    require(header_size <= file->size() - 8, name, ": truncated: the header should be ", header_size,
            " bytes long, but only ", file->size() - 8, " follow");
    const std::string_view header(reinterpret_cast<const char*>(file->bytes().data()) + 8, header_size);
    const std::size_t object = header.find_first_not_of(" \t\r\n"); // some writers pad before it, as after it
    require(object != std::string_view::npos && header[object] == '{', name,
            ": not a safetensors file: the header is no JSON object");

    const auto data = file->bytes().subspan(8 + header_size);
    Safetensors result;
    std::vector<detail::TensorRange> ranges;
    bool has_metadata = false;
    for_each_json_member(header, name + " (header)", [&](const std::string& key, nlohmann::json entry) {
        if (key == "__metadata__") {
            require(!std::exchange(has_metadata, true), name, ": the key \"__metadata__\" appears twice");
            require(entry.is_object(), name, ": __metadata__ is not an object");
            require(entry.size() <= metadata_limit, name, ": __metadata__ has more than ", metadata_limit, " keys");
            for (auto& [text_key, text] : entry.items()) {
                require(text.is_string(), name, ": __metadata__ \"", text_key, "\" is not a string");
                result.metadata.emplace(text_key, std::move(text.template get_ref<std::string&>()));
            }
            return;
        }
        const std::string where = name + ": tensor \"" + key + "\"";
        const auto& type_name = detail::safetensors_member(entry, "dtype", where);
        const auto* type = detail::safetensors_types.data();
        const auto* const end = type + detail::safetensors_types.size();
        type = std::find_if(type, end, [&](const auto& candidate) { return type_name == candidate.name; });
        require(type != end, where, ": the type ",
                type_name.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), " is not supported");
        HostTensor tensor;
        tensor.dtype = type->dtype;
        tensor.shape = detail::safetensors_integers(detail::safetensors_member(entry, "shape", where), "shape", where);
        const auto range = detail::safetensors_integers(detail::safetensors_member(entry, "data_offsets", where),
                                                        "data_offsets", where);
        require(entry.size() == 3, where, ": holds keys other than dtype, shape and data_offsets");
        require(range.size() == 2 && range[0] <= range[1], where, ": data_offsets ", shape_text(range),
                " is not [begin, end]");
        require(static_cast<std::uint64_t>(range[1]) <= data.size(), where, ": ends at data byte ", range[1],
                ", but the file has only ", data.size(), " bytes of data (truncated?)");
        const std::size_t count = checked_element_count(tensor.shape, size_of(tensor.dtype), where);
        require(count * size_of(tensor.dtype) == static_cast<std::uint64_t>(range[1] - range[0]), where, ": ",
                name_of(tensor.dtype), " ", shape_text(tensor.shape), " takes ", count * size_of(tensor.dtype),
                " bytes, but data_offsets gives it ", range[1] - range[0]);
        tensor.data = data.data() + range[0];
        tensor.owner = file;
        tensor.file_backed = true;
        const auto [placed, added] = result.tensors.emplace(key, std::move(tensor));
        require(added, name, " (header): the key \"", key, "\" appears twice");
        require(result.tensors.size() <= tensor_limit, name, ": more than ", tensor_limit, " tensors");
        ranges.push_back({static_cast<std::uint64_t>(range[0]), static_cast<std::uint64_t>(range[1]), placed->first});
    });
    detail::check_safetensors_ranges(std::move(ranges), data.size(), name);
    return result;
}

/// The tensors of a safetensors file; see read_safetensors_file().
template <class = void>
[[nodiscard]] StateDict read_safetensors(const std::filesystem::path& path) {
    return read_safetensors_file(path).tensors;
}

/// Writes a safetensors file, asking for one tensor at a time. Tensors are ordered by type and name as the
/// official writer orders them, which keeps each aligned; equal input gives equal bytes. Throws
/// Error on a repeated or reserved name and when the file cannot be written; then nothing is left behind.
template <class = void>
void write_safetensors(const std::filesystem::path& path, std::vector<TensorSource> sources,
                       const TextMetadata& metadata = {{"format", "pt"}}) {
    std::sort(sources.begin(), sources.end(), [](const TensorSource& a, const TensorSource& b) {
        return std::pair(detail::safetensors_rank(a.dtype), std::string_view(a.name)) <
               std::pair(detail::safetensors_rank(b.dtype), std::string_view(b.name));
    });
    std::uint64_t offset = 0;
    std::set<std::string_view> names;
    std::string text = "{";
    const auto add = [&](const std::string& key, const nlohmann::ordered_json& value) {
        text += concat_text(text.size() == 1 ? "" : ",", json_text(nlohmann::json(key), path.string()), ":",
                            json_text(value, path.string()));
    };
    if (!metadata.empty()) {
        add("__metadata__", metadata);
    }
    for (const TensorSource& source : sources) {
        require(source.name != "__metadata__", path.string(), ": a tensor cannot be named __metadata__");
        require(names.insert(source.name).second, path.string(), ": two tensors named \"", source.name, "\"");
        const std::uint64_t bytes = checked_element_count(source.shape, size_of(source.dtype),
                                                          path.string() + ": tensor \"" + source.name + "\"") *
                                    size_of(source.dtype);
        add(source.name, {{"dtype", detail::safetensors_types[detail::safetensors_rank(source.dtype)].name},
                          {"shape", source.shape},
                          {"data_offsets", {offset, offset + bytes}}});
        offset += bytes;
    }
    text += "}";
    text.resize((text.size() + 7) / 8 * 8, ' ');

    AtomicFile file(path);
    const std::uint64_t header_size = text.size();
    file.write(std::as_bytes(std::span(&header_size, 1)));
    file.write(text);
    for (const TensorSource& source : sources) {
        const HostTensor tensor = load_announced(source, path.string());
        file.write(tensor.bytes());
        tensor.drop_pages();
    }
    file.commit();
}

/// Writes tensors that are in memory; see above.
template <class = void>
void write_safetensors(const std::filesystem::path& path, const StateDict& tensors,
                       const TextMetadata& metadata = {{"format", "pt"}}) {
    write_safetensors(path, tensor_sources(tensors), metadata);
}

} // namespace reel

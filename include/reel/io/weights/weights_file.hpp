#pragma once
// One file of weights, whatever its format and whatever lies beside the weights: read to be written again. Needs
// nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/ldm_checkpoint.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/torch_writer.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace reel {

namespace detail {

/// ".ckpt" of Model.CKPT.
[[nodiscard]] inline std::string lower_extension(const std::filesystem::path& path) {
    std::string ending = path.extension().string();
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return ending;
}

} // namespace detail

/// Formats of weights files.
enum class WeightsFormat { safetensors, torch };

/// The format that a file's name asks for (.safetensors; .bin, .pt, .pth, .ckpt), in either case; nothing for other
/// names.
[[nodiscard]] inline std::optional<WeightsFormat> weights_format_of(const std::filesystem::path& path) {
    const std::string ending = detail::lower_extension(path);
    if (ending == ".safetensors") {
        return WeightsFormat::safetensors;
    }
    return ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt"
               ? std::optional(WeightsFormat::torch)
               : std::nullopt;
}

/// What a file of weights holds.
struct WeightsFile {
    StateDict tensors;
    TextMetadata metadata{};  ///< of a safetensors file
    std::size_t left_out = 0; ///< tensors beside a "state_dict": the optimizer's, for example
};

/// Reads a file of either format, told apart by its content, as training programs write them: objects that are no
/// tensors are passed over, and so is the "state_dict" around the weights with what lies beside it. read_weights_file()
/// is strict. Throws Error for anything else.
template <class = void>
[[nodiscard]] WeightsFile read_any_weights_file(const std::filesystem::path& path) {
    const FileKind kind = [&] {
        const MappedFile file(path);
        refuse_placeholder(file.bytes(), file.path());
        return file_kind(file.bytes());
    }();
    if (kind == FileKind::safetensors) {
        Safetensors file = read_safetensors_file(path);
        return {std::move(file.tensors), std::move(file.metadata)};
    }
    require(kind != FileKind::json, path.string(), ": this is JSON text, not weights");
    require(kind == FileKind::torch_zip || kind == FileKind::torch_legacy, path.string(),
            ": neither a safetensors file nor a PyTorch checkpoint");
    TorchCheckpoint checkpoint = read_torch_checkpoint(path, true, TorchObjects::skip);
    require(!checkpoint.tensors.contains(""), path.string(), ": holds one bare tensor, expected a state dict");
    require(!checkpoint.tensors.empty(), path.string(), ": the checkpoint holds no tensors");
    const std::string around = "state_dict.";
    if (!detail::has_prefix(checkpoint.tensors, around)) {
        return {std::move(checkpoint.tensors)};
    }
    WeightsFile file;
    for (auto& [name, tensor] : checkpoint.tensors) {
        if (name.starts_with(around)) {
            file.tensors.emplace(name.substr(around.size()), std::move(tensor));
        }
    }
    file.left_out = checkpoint.tensors.size() - file.tensors.size();
    return file;
}

/// Bytes of the tensors' elements.
[[nodiscard]] inline std::uint64_t byte_count(const std::vector<TensorSource>& sources) {
    std::uint64_t bytes = 0;
    for (const TensorSource& source : sources) {
        bytes += checked_element_count(source.shape, size_of(source.dtype)) * size_of(source.dtype);
    }
    return bytes;
}

/// Writes a file of the format that its name asks for, PyTorch's where it asks for none. A .ckpt has a "state_dict"
/// around the weights; `metadata` goes into safetensors alone. The file appears whole or not at all. Throws Error.
template <class = void>
void write_weights_file(const std::filesystem::path& path, const std::vector<TensorSource>& sources,
                        TextMetadata metadata = {}) {
    if (weights_format_of(path) == WeightsFormat::safetensors) {
        metadata["format"] = "pt";
        write_safetensors(path, sources, metadata);
    } else {
        write_torch_checkpoint(path, sources, 0xffffffff, detail::lower_extension(path) == ".ckpt" ? "state_dict" : "");
    }
}

} // namespace reel

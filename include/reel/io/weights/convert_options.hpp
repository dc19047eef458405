#pragma once
// How weights are converted, and what is heard of it. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/io/weights/weights_file.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// What a conversion is to make.
struct ConvertOptions {
    std::optional<DType> dtype{};                      ///< of floating-point weights; none: as they are
    WeightsFormat format = WeightsFormat::safetensors; ///< of the weights in an output folder
    std::string variant{};                             ///< of the weights in an input folder, such as "fp16"
    /// Diffusers folder whose configurations, scheduler and tokenizer an output folder gets; empty: they are read off
    /// the weights' shapes, with what all of Stable Diffusion 1 or 2 have in common.
    std::filesystem::path config{};
    /// The autoencoder for an output folder: its folder or file; empty: the single file's, or that of `config`.
    std::filesystem::path vae{};
    std::filesystem::path tokenizer{}; ///< folder that an output folder gets; empty: that of `config`
    std::string prediction_type{};     ///< of a single file's UNet: "epsilon" or "v_prediction"; empty: what it says
    int image_size = 0;                ///< pixels a side a single file was made for; 0: 768 with v_prediction, else 512
    bool ema = false;                  ///< take the UNet's averaged weights from a single file
};

/// What is heard of a conversion while it goes on. Any of them may be empty.
struct ConvertEvents {
    /// A file of so many tensors begins.
    std::function<void(const std::string& file, std::size_t tensors)> on_file{};
    /// Its next tensor is written. What this throws ends the conversion, which then leaves no file and no folder.
    std::function<void()> on_tensor{};
    /// Looks at a model's folder before it appears. What this throws ends the conversion, which then leaves no folder.
    std::function<void(const std::filesystem::path& folder)> check{};
    /// A sentence for people.
    std::function<void(const std::string& text)> on_note{};

    void note(const std::string& text) const {
        if (on_note) {
            on_note(text);
        }
    }
};

namespace detail {

/// Writes weights of the type asked for, and says so.
inline void write_converted(const std::filesystem::path& path, std::vector<TensorSource> sources,
                            const ConvertOptions& options, const ConvertEvents& events, TextMetadata metadata = {}) {
    sources = converted_sources(std::move(sources), options.dtype);
    const std::string name = path.filename().string();
    const std::size_t count = sources.size();
    const std::uint64_t bytes = byte_count(sources);
    if (events.on_file) {
        events.on_file(name, count);
    }
    if (events.on_tensor) {
        for (TensorSource& source : sources) {
            source.load = [load = std::move(source.load), &events] {
                events.on_tensor();
                return load();
            };
        }
    }
    write_weights_file(path, sources, std::move(metadata));
    events.note(concat_text(name, ": ", count, " tensors, ", bytes, " bytes"));
}

/// read_any_weights_file(), saying what it leaves out.
[[nodiscard]] inline WeightsFile read_noted(const std::filesystem::path& path, const ConvertEvents& events) {
    WeightsFile file = read_any_weights_file(path);
    if (file.left_out > 0) {
        events.note(concat_text(path.filename().string(), ": ", file.left_out,
                                " tensors beside the state dict (the optimizer's, for example) are left out"));
    }
    return file;
}

/// The weights file of a folder.
[[nodiscard]] inline std::filesystem::path
converted_weights_path(const std::filesystem::path& folder, const WeightNames& names, const ConvertOptions& options) {
    return folder /
           (options.format == WeightsFormat::torch ? names.torch + ".bin" : names.safetensors + ".safetensors");
}

[[nodiscard]] inline bool is_folder(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}

/// A path that ends in a name: out/model/ is out/model.
[[nodiscard]] inline std::filesystem::path without_slash(const std::filesystem::path& path) {
    return path.has_filename() ? path : path.parent_path();
}

/// Throws unless `output` can become a new folder.
inline void require_new_folder(const std::filesystem::path& output) {
    std::error_code ignored;
    require(!std::filesystem::exists(output, ignored) ||
                (is_folder(output) && std::filesystem::is_empty(output, ignored)),
            output.string(), ": it exists already; choose another name, or remove it");
}

/// The files of a folder, without its folders.
inline void copy_files(const std::filesystem::path& from, const std::filesystem::path& to) {
    make_output_folder(to);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        if (entry.is_regular_file()) {
            copy_file_atomically(entry.path(), to / entry.path().filename());
        }
    }
}

} // namespace detail

} // namespace reel

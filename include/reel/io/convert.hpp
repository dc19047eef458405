#pragma once
// Weights from one file format, or one arrangement, to another. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/weights/convert_options.hpp>
#include <reel/io/weights/ldm_folder.hpp>
#include <reel/io/weights/weights.hpp>
#include <reel/io/weights/weights_file.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace reel {

namespace detail {

/// Copies a folder with its weights in another format; the rest of its files as they are.
inline void convert_part(const std::filesystem::path& from, const std::filesystem::path& to, const WeightNames& names,
                         const ConvertOptions& options, const ConvertEvents& events) {
    make_output_folder(to);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        const bool weights =
            weights_format_of(entry.path()) || entry.path().filename().string().find(".index") != std::string::npos;
        if (entry.is_regular_file() && !weights) {
            copy_file_atomically(entry.path(), to / entry.path().filename());
        }
    }
    write_converted(converted_weights_path(to, names, options),
                    tensor_sources(load_weights(from, names, options.variant)), options, events);
}

/// The names of the weights in a folder; null where there are none.
[[nodiscard]] inline const WeightNames* weight_names_in(const std::filesystem::path& folder,
                                                        const std::string& variant) {
    for (const WeightNames* names : {&diffusers_weight_names, &transformers_weight_names}) {
        const auto candidates = weight_candidates(folder, *names, variant);
        if (std::any_of(candidates.begin(), candidates.end(),
                        [](const std::filesystem::path& path) { return std::filesystem::exists(path); })) {
            return names;
        }
    }
    return nullptr;
}

} // namespace detail

/// A diffusers folder, or one part of it, to a new folder with the weights in another format or type; whatever else it
/// holds is copied. Throws Error where there are no weights, and where `output` is there already.
inline void folder_to_folder(const std::filesystem::path& input, const std::filesystem::path& output,
                             const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    const std::filesystem::path target = detail::without_slash(output);
    detail::require_new_folder(target);
    AtomicFolder folder(target);
    std::size_t converted = 0;
    const auto convert = [&](const std::filesystem::path& from, const std::filesystem::path& to) {
        const WeightNames* names = detail::weight_names_in(from, options.variant);
        if (names != nullptr) {
            detail::convert_part(from, to, *names, options, events);
            ++converted;
        }
        return names != nullptr;
    };
    if (!convert(input, folder.path())) { // a whole model, not one part of it
        for (const auto& entry : std::filesystem::directory_iterator(input)) {
            const std::filesystem::path to = folder.path() / entry.path().filename();
            if (entry.is_directory() && !convert(entry.path(), to)) {
                detail::copy_files(entry.path(), to);
            } else if (entry.is_regular_file() && !weights_format_of(entry.path())) {
                copy_file_atomically(entry.path(), to);
            }
        }
    }
    require(converted > 0, input.string(), ": no weights found, neither in it nor in its folders");
    folder.commit();
    events.note(concat_text(target.string(), ": ", converted, " folders of weights"));
}

/// A weights file to another format or type, with the same names.
inline void file_to_file(const std::filesystem::path& input, const std::filesystem::path& output,
                         const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    WeightsFile file = detail::read_noted(input, events);
    detail::write_converted(output, tensor_sources(file.tensors), options, events, std::move(file.metadata));
}

/// Converts weights: a folder or a file to a file, if `output`'s name ends as one of weights does, else to a folder,
/// which must be new. Between a file and a folder stands Stable Diffusion's single-file arrangement. What it writes
/// appears whole or not at all. Throws Error.
///
///     convert_checkpoint("v1-5-pruned.ckpt", "sd15", {.dtype = DType::f16, .tokenizer = "sd14/tokenizer"});
inline void convert_checkpoint(const std::filesystem::path& input, const std::filesystem::path& output,
                               const ConvertOptions& options = {}, const ConvertEvents& events = {}) {
    std::error_code ignored;
    const bool from_folder = detail::is_folder(input);
    const bool to_file = weights_format_of(output).has_value();
    require(!std::filesystem::equivalent(input, output, ignored), output.string(),
            ": INPUT and OUTPUT are the same; choose another name");
    if (from_folder) {
        to_file ? folder_to_single_file(input, output, options, events)
                : folder_to_folder(input, output, options, events);
    } else {
        to_file ? file_to_file(input, output, options, events) : single_file_to_folder(input, output, options, events);
    }
}

} // namespace reel

#pragma once
// Vectors for a word that a text encoder did not have (Gal et al. 2022, arXiv:2208.01618), from the files in which they
// are passed around. Needs nlohmann-json and zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/mapped_file.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>
#include <reel/io/weights/weights_kind.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace reel {

/// A word, and the vectors that it stands for.
struct NewWord {
    std::string word;
    HostTensor vectors; ///< float32 [count, width]
    std::string file;   ///< starts messages

    [[nodiscard]] std::int64_t count() const { return vectors.shape.at(0); }
    [[nodiscard]] std::int64_t width() const { return vectors.shape.at(1); }
};

/// What an option says: FILE, or FILE:WORD. A colon within an existing file's path is part of the path.
struct EmbeddingRequest {
    std::filesystem::path file;
    std::string word{}; ///< empty: the file's
};

/// Takes an option's value apart.
[[nodiscard]] inline EmbeddingRequest embedding_request(const std::string& option) {
    std::error_code ignored;
    const std::size_t colon = option.rfind(':');
    if (colon == std::string::npos || colon == 0 || std::filesystem::exists(option, ignored)) {
        return {option};
    }
    return {option.substr(0, colon), option.substr(colon + 1)};
}

namespace detail {

/// [count, width] in float32, whatever 16-bit type it has in the file. Throws Error for another shape, and for numbers
/// that are none.
[[nodiscard]] inline HostTensor vectors_of(const HostTensor& tensor, const std::string& where) {
    std::vector<std::int64_t> shape = tensor.shape;
    if (shape.size() == 1) {
        shape.insert(shape.begin(), 1);
    }
    require(shape.size() == 2 && shape[0] >= 1 && shape[0] <= 1024 && shape[1] >= 1 && shape[1] <= 65536, where,
            ": an embedding of shape ", shape_text(tensor.shape),
            ", expected [width] or [vectors, width] with at most 1024 vectors");
    std::vector<float> values = tensor.to_vector<float>();
    for (const float value : values) {
        require(std::isfinite(value), where, ": the embedding has a value that is no finite number");
    }
    return HostTensor::make<float>(shape, std::move(values));
}

/// The only tensor of a file, and the word that the file gives it.
struct FoundWord {
    std::string word;
    HostTensor tensor;
};

[[nodiscard]] inline FoundWord found_word(const StateDict& tensors, const std::string& name, const std::string& where) {
    const auto stem = std::filesystem::path(where).stem().string();
    const auto refuse = [&] { refuse_weights(tensors, "an embedding of textual inversion", where); };
    if (has_any_prefix(tensors, {"clip_l", "clip_g"})) {
        fail(where,
             ": an embedding for Stable Diffusion XL (clip_l and clip_g), which reel does not have; it runs Stable "
             "Diffusion 1.x and 2.x");
    }
    std::vector<std::pair<std::string, HostTensor>> found;
    for (const auto& [key, tensor] : tensors) {
        if (key.starts_with("string_to_param.")) {
            found.emplace_back(name.empty() ? stem : name, tensor);
        }
    }
    if (found.empty()) {
        if (tensors.size() != 1) {
            refuse();
        }
        const auto& [key, tensor] = *tensors.begin();
        found.emplace_back(key == "emb_params" ? stem : key, tensor);
    }
    require(found.size() == 1, where, ": the file has ", found.size(), " embeddings, expected one");
    if (found.front().second.shape.size() > 2 || found.front().second.shape.empty()) {
        refuse();
    }
    return {found.front().first, found.front().second};
}

} // namespace detail

/// Reads a file of textual inversion: of stable-diffusion-webui (`string_to_param` in a .pt, as a dict or a
/// ParameterDict; `emb_params` in safetensors), of diffusers (one tensor under its word), or one bare tensor. The word
/// is the one that is asked for, else the file's own, else the file's name. Throws Error for anything else, saying what
/// it is.
template <class = void>
[[nodiscard]] NewWord read_textual_inversion(const EmbeddingRequest& request) {
    const std::string where = request.file.string();
    std::error_code ignored;
    require(!std::filesystem::is_directory(request.file, ignored), where,
            ": a folder; name the file of the embedding in it");
    const FileKind kind = [&] {
        const MappedFile file(request.file);
        refuse_placeholder(file.bytes(), file.path());
        return file_kind(file.bytes());
    }();
    StateDict tensors;
    std::string name;
    if (kind == FileKind::safetensors) {
        tensors = read_safetensors(request.file);
    } else {
        require(kind == FileKind::torch_zip || kind == FileKind::torch_legacy, where,
                ": neither a safetensors file nor a PyTorch checkpoint; expected an embedding of textual inversion");
        TorchCheckpoint checkpoint = read_torch_checkpoint(request.file, true, TorchObjects::skip);
        tensors = std::move(checkpoint.tensors);
        const auto said = checkpoint.texts.find("name");
        name = said == checkpoint.texts.end() ? "" : said->second;
    }
    require(!tensors.empty(), where, ": no tensor is in it; expected an embedding of textual inversion");
    const detail::FoundWord found = detail::found_word(tensors, name, where);
    const std::string word = request.word.empty() ? found.word : request.word;
    require(!word.empty(), where, ": a bare tensor, which does not say for which word it is; give the word as ", where,
            ":WORD");
    return {word, detail::vectors_of(found.tensor, where), where};
}

} // namespace reel

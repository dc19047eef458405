#pragma once
// A Stable Diffusion folder, ready to be tuned. Needs reel::io and reel::text.

#include <reel/pipelines/stable_diffusion_parts.hpp>

#ifndef REEL_COMPILED

#include <reel/pipelines/load_stable_diffusion.hpp>

#else

#include <concepts>
#include <cstdint>
#include <filesystem>

#include <reel/text/text_cleaning.hpp>

namespace reel {

struct ModelFiles; // reel/pipelines/model_files.hpp has it

namespace detail {

/// What reel/compiled/folders_*.cpp have.
template <class T>
[[nodiscard]] StableDiffusion<T> load_compiled(Cpu& backend, const ModelFiles& files, std::uint64_t seed,
                                               TextCleaning cleaning);
template <class T>
[[nodiscard]] StableDiffusion<T> load_compiled(Cpu& backend, const std::filesystem::path& model, std::uint64_t seed,
                                               const std::filesystem::path& unet_folder, TextCleaning cleaning);

/// A model that reel::compiled can load. For another include reel/pipelines/load_stable_diffusion.hpp.
template <class T, class Parts, class B>
concept LoadedByReelCompiled = std::same_as<Parts, DefaultParts> && std::same_as<B, Cpu> && !std::same_as<T, half>;

} // namespace detail

/// load_stable_diffusion() of reel/pipelines/load_stable_diffusion.hpp, compiled once.
template <Scalar T, class Parts = DefaultParts, Backend B>
requires detail::LoadedByReelCompiled<T, Parts, B>
[[nodiscard]] StableDiffusion<T, B, Parts> load_stable_diffusion(B& backend, const ModelFiles& files,
                                                                 std::uint64_t seed,
                                                                 TextCleaning cleaning = TextCleaning::ftfy) {
    return detail::load_compiled<T>(backend, files, seed, cleaning);
}

/// The same of open_model().
template <Scalar T, class Parts = DefaultParts, Backend B>
requires detail::LoadedByReelCompiled<T, Parts, B>
[[nodiscard]] StableDiffusion<T, B, Parts> load_stable_diffusion(B& backend, const std::filesystem::path& model,
                                                                 std::uint64_t seed,
                                                                 const std::filesystem::path& unet_folder = {},
                                                                 TextCleaning cleaning = TextCleaning::ftfy) {
    return detail::load_compiled<T>(backend, model, seed, unet_folder, cleaning);
}

} // namespace reel

#endif

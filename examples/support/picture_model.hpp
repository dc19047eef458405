#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <reel/io/pictures/frames.hpp>
#include <reel/tensor.hpp>

namespace editing {
class Device;
}

/// Text to image with a Stable Diffusion folder. What runs the model is compiled once for all programs, in
/// picture_model.cpp.
namespace pictures {

/// How pictures are sampled.
struct Sampling {
    std::string negative_prompt{};
    double guidance_scale = 7.5; ///< 1 or less: none
    int steps = 50;
    double eta = 0; ///< of schedulers that have the choice
    std::uint64_t seed = 33;
};

/// A Stable Diffusion folder with a 2D UNet, and a sampler.
class PictureModel {
public:
    using Tensor = reel::Tensor<float, reel::Cpu>;
    /// Sees the number of the step, from 1, and how many there are.
    using Each = std::function<void(reel::index_t, reel::index_t)>;

    /// `scheduler` is a name of scheduler_registry.hpp; "": the folder's own. `device` is where the networks are, if
    /// not on the CPU; it must outlive the model. Throws Error for anything missing, broken or unsupported.
    PictureModel(reel::Cpu& cpu, const std::filesystem::path& folder, const std::string& scheduler,
                 editing::Device* device = nullptr);
    ~PictureModel();
    PictureModel(const PictureModel&) = delete;
    PictureModel& operator=(const PictureModel&) = delete;

    /// Side of the pictures that the model was made for, pixels.
    [[nodiscard]] int default_size() const;
    /// Sides of pictures are multiples of this.
    [[nodiscard]] int pixels_per_latent() const;
    /// Class name of the sampler.
    [[nodiscard]] const std::string& scheduler() const;

    /// Finds out before the work whether the sampler can do so many steps and has an eta. Throws Error.
    void check(const Sampling& sampling) const;
    /// What of a prompt the text encoder cannot see: "" where it is short enough. Throws Error, naming `option`, for
    /// one that is no UTF-8.
    [[nodiscard]] std::string unseen(const std::string& option, const std::string& prompt) const;

    /// Standard normal latents [count, h, w, channels] of pictures number first, first + 1, ...: each a function of the
    /// seed and its number.
    [[nodiscard]] Tensor noise(int height, int width, std::uint64_t seed, std::uint64_t first,
                               reel::index_t count) const;
    /// Latents of one picture for each prompt, from such noise of pictures number `first`, ... .
    [[nodiscard]] Tensor sample(const Tensor& noise, const std::vector<std::string>& prompts, const Sampling& sampling,
                                std::uint64_t first, const Each& each) const;
    /// Latents to pixels in 0..1 [count, height, width, 3].
    [[nodiscard]] Tensor decode(const Tensor& latents) const;
    /// Pictures as the autoencoder draws them: the decoded mean of their latents, pixels in 0..1.
    [[nodiscard]] Tensor reconstruct(const reel::Frames& frames) const;

private:
    struct Parts;
    reel::Cpu& cpu_;
    std::unique_ptr<Parts> parts_;
};

/// Pixels in 0..1 [count, height, width, 3] as bytes, rounded.
[[nodiscard]] inline reel::Frames frames_of(const PictureModel::Tensor& pixels) {
    std::vector<float> values = pixels.to_host();
    for (float& value : values) {
        value += 0.5F / 255; // to_frames_u8() cuts off
    }
    return reel::to_frames_u8(values, static_cast<int>(pixels.shape(0)), static_cast<int>(pixels.shape(1)),
                              static_cast<int>(pixels.shape(2)));
}

} // namespace pictures

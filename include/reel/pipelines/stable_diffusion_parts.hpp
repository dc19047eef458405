#pragma once
// What a Stable Diffusion holds. Needs reel::io and reel::text.

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <reel/models/autoencoder.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/unet.hpp>
#include <reel/schedulers/ddim.hpp>
#include <reel/schedulers/ddpm.hpp>
#include <reel/text/prompt_syntax.hpp>

namespace reel {

class CLIPTokenizer; // reel/text/clip_tokenizer.hpp has it

/// The parts of a Stable Diffusion 1.x or 2.x folder, the UNet inflated to clips. With a 16-bit T, WidenedUnet is what
/// schedulers and pipelines call.
template <Scalar T, Backend B = Cpu, class Parts = DefaultParts>
struct StableDiffusion {
    std::filesystem::path folder;
    std::shared_ptr<const CLIPTokenizer> tokenizer;
    CLIPTextModel<T, B> text_encoder;
    Autoencoder<T, B> vae;
    UNet3DConditionModel<T, B, Parts> unet;
    DDPMScheduler training_scheduler;
    DDIMConfig sampling; ///< of the folder's scheduler, with the pipeline's fixes for latents
    PromptSyntax prompt_syntax = PromptSyntax::plain;
    std::string reading{}; ///< reading_identity(): what changes how prompts are read
};

/// A prompt for the UNet: [1, tokens, channels]. Throws Error when an id is beyond the text encoder's table.
template <Scalar T, Backend B, class Parts>
[[nodiscard]] Tensor<T, B> encode_prompt(const StableDiffusion<T, B, Parts>& model, std::string_view prompt);

#ifdef REEL_COMPILED // reel/compiled/folders_*.cpp have these
extern template struct StableDiffusion<float>;
extern template Tensor<float> encode_prompt(const StableDiffusion<float>&, std::string_view);
extern template struct StableDiffusion<double>;
extern template Tensor<double> encode_prompt(const StableDiffusion<double>&, std::string_view);
extern template struct StableDiffusion<bfloat16>;
extern template Tensor<bfloat16> encode_prompt(const StableDiffusion<bfloat16>&, std::string_view);
#endif

} // namespace reel

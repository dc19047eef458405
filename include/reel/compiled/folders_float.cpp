// Models from and to folders, as their headers declare them under REEL_COMPILED.
#include <reel/pipelines/stable_diffusion.hpp>

namespace reel {

template CLIPTextModel<float> load_clip_text_model(Cpu&, const std::filesystem::path&);
template AutoencoderKL<float> load_autoencoder_kl(Cpu&, const std::filesystem::path&);
template UNet3DConditionModel<float> load_unet(Cpu&, const std::filesystem::path&, std::uint64_t);
template UNet3DConditionModel<float> load_unet_2d(Cpu&, const std::filesystem::path&);
template void save_unet(const UNet3DConditionModel<float>&, const std::filesystem::path&, bool, DType);
template StableDiffusion<float> load_stable_diffusion(Cpu&, const std::filesystem::path&, std::uint64_t,
                                                      const std::filesystem::path&, TextCleaning);
template Tensor<float> encode_prompt(const StableDiffusion<float>&, std::string_view);

} // namespace reel

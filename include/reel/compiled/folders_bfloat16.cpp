// Models from and to folders, as their headers declare them under REEL_COMPILED.
#include <reel/pipelines/load_stable_diffusion.hpp>
#include <reel/pipelines/stable_diffusion.hpp>

namespace reel {

template CLIPTextModel<bfloat16> load_clip_text_model(Cpu&, const ModelPart&);
template AutoencoderKL<bfloat16> load_autoencoder_kl(Cpu&, const ModelPart&);
template AutoencoderTiny<bfloat16> load_autoencoder_tiny(Cpu&, const ModelPart&);
template UNet3DConditionModel<bfloat16> load_unet(Cpu&, const ModelPart&, std::uint64_t);
template UNet3DConditionModel<bfloat16> load_unet_2d(Cpu&, const ModelPart&);
template void save_unet(const UNet3DConditionModel<bfloat16>&, const std::filesystem::path&, bool, DType);
template struct StableDiffusion<bfloat16>;
template <class T>
StableDiffusion<T> detail::load_compiled(Cpu& backend, const ModelFiles& files, std::uint64_t seed,
                                         TextCleaning cleaning) {
    return load_files<T, DefaultParts>(backend, files, seed, cleaning);
}
template StableDiffusion<bfloat16> detail::load_compiled(Cpu&, const ModelFiles&, std::uint64_t, TextCleaning);
template <class T>
StableDiffusion<T> detail::load_compiled(Cpu& backend, const std::filesystem::path& model, std::uint64_t seed,
                                         const std::filesystem::path& unet_folder, TextCleaning cleaning) {
    return load_files<T, DefaultParts>(backend, open_model_with(model, unet_folder), seed, cleaning);
}
template StableDiffusion<bfloat16> detail::load_compiled(Cpu&, const std::filesystem::path&, std::uint64_t,
                                                         const std::filesystem::path&, TextCleaning);
template Tensor<bfloat16> encode_prompt(const StableDiffusion<bfloat16>&, std::string_view);

} // namespace reel

// The models, as their headers declare them under REEL_COMPILED.
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/autoencoder_tiny.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/unet.hpp>

namespace reel {

template Tensor<bfloat16> CLIPTextModel<bfloat16>::operator()(std::span<const std::int32_t>, index_t) const;
template struct CLIPTextModel<bfloat16>;
template Tensor<bfloat16> AutoencoderEncoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
template struct AutoencoderEncoder<bfloat16>;
template Tensor<bfloat16> AutoencoderDecoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
template struct AutoencoderDecoder<bfloat16>;
template Tensor<bfloat16> AutoencoderTinyEncoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
template struct AutoencoderTinyEncoder<bfloat16>;
template Tensor<bfloat16> AutoencoderTinyDecoder<bfloat16>::operator()(const Tensor<bfloat16>&) const;
template struct AutoencoderTinyDecoder<bfloat16>;
template Tensor<bfloat16> UNet3DConditionModel<bfloat16>::run(const Tensor<bfloat16>&, std::span<const double>,
                                                              const Tensor<bfloat16>&, index_t,
                                                              const UNetCondition<Tensor<bfloat16>>&) const;
template Variable<bfloat16> UNet3DConditionModel<bfloat16>::run(const Variable<bfloat16>&, std::span<const double>,
                                                                const Variable<bfloat16>&, index_t,
                                                                const UNetCondition<Variable<bfloat16>>&) const;
template struct UNet3DConditionModel<bfloat16>;
template bool trains(const UNet3DConditionModel<bfloat16>&);
template void zero_grad(const UNet3DConditionModel<bfloat16>&);
template index_t set_trainable_modules(UNet3DConditionModel<bfloat16>&, const std::vector<std::string>&);

} // namespace reel

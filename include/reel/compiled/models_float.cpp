// The models, as their headers declare them under REEL_COMPILED.
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/autoencoder_tiny.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/unet.hpp>

namespace reel {

template Tensor<float> CLIPTextModel<float>::operator()(std::span<const std::int32_t>, index_t) const;
template Variable<float> CLIPTextModel<float>::operator()(std::span<const std::int32_t>, index_t) const;
template struct CLIPTextModel<float>;
template Tensor<float> AutoencoderEncoder<float>::operator()(const Tensor<float>&) const;
template Variable<float> AutoencoderEncoder<float>::operator()(const Variable<float>&) const;
template struct AutoencoderEncoder<float>;
template Tensor<float> AutoencoderDecoder<float>::operator()(const Tensor<float>&) const;
template Variable<float> AutoencoderDecoder<float>::operator()(const Variable<float>&) const;
template struct AutoencoderDecoder<float>;
template Tensor<float> AutoencoderTinyEncoder<float>::operator()(const Tensor<float>&) const;
template struct AutoencoderTinyEncoder<float>;
template Tensor<float> AutoencoderTinyDecoder<float>::operator()(const Tensor<float>&) const;
template struct AutoencoderTinyDecoder<float>;
template Tensor<float> UNet3DConditionModel<float>::run(const Tensor<float>&, std::span<const double>,
                                                        const Tensor<float>&, index_t,
                                                        const UNetCondition<Tensor<float>>&) const;
template Variable<float> UNet3DConditionModel<float>::run(const Variable<float>&, std::span<const double>,
                                                          const Variable<float>&, index_t,
                                                          const UNetCondition<Variable<float>>&) const;
template struct UNet3DConditionModel<float>;
template bool trains(const UNet3DConditionModel<float>&);
template void zero_grad(const UNet3DConditionModel<float>&);
template index_t set_trainable_modules(UNet3DConditionModel<float>&, const std::vector<std::string>&);

} // namespace reel

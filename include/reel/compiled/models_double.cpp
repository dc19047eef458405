// The models, as their headers declare them under REEL_COMPILED.
#include <reel/models/autoencoder_kl.hpp>
#include <reel/models/autoencoder_tiny.hpp>
#include <reel/models/clip_text.hpp>
#include <reel/models/unet.hpp>

namespace reel {

template Tensor<double> CLIPTextModel<double>::operator()(std::span<const std::int32_t>, index_t) const;
template Variable<double> CLIPTextModel<double>::operator()(std::span<const std::int32_t>, index_t) const;
template struct CLIPTextModel<double>;
template Tensor<double> AutoencoderEncoder<double>::operator()(const Tensor<double>&) const;
template Variable<double> AutoencoderEncoder<double>::operator()(const Variable<double>&) const;
template struct AutoencoderEncoder<double>;
template Tensor<double> AutoencoderDecoder<double>::operator()(const Tensor<double>&) const;
template Variable<double> AutoencoderDecoder<double>::operator()(const Variable<double>&) const;
template struct AutoencoderDecoder<double>;
template Tensor<double> AutoencoderTinyEncoder<double>::operator()(const Tensor<double>&) const;
template struct AutoencoderTinyEncoder<double>;
template Tensor<double> AutoencoderTinyDecoder<double>::operator()(const Tensor<double>&) const;
template struct AutoencoderTinyDecoder<double>;
template Tensor<double> UNet3DConditionModel<double>::run(const Tensor<double>&, std::span<const double>,
                                                          const Tensor<double>&, index_t,
                                                          const UNetCondition<Tensor<double>>&) const;
template Variable<double> UNet3DConditionModel<double>::run(const Variable<double>&, std::span<const double>,
                                                            const Variable<double>&, index_t,
                                                            const UNetCondition<Variable<double>>&) const;
template struct UNet3DConditionModel<double>;
template bool trains(const UNet3DConditionModel<double>&);
template void zero_grad(const UNet3DConditionModel<double>&);
template index_t set_trainable_modules(UNet3DConditionModel<double>&, const std::vector<std::string>&);

} // namespace reel

#pragma once

#include <algorithm>
#include <cmath>

#include <reel/ops/elementwise.hpp>
#include <reel/ops/reduce.hpp>

namespace reel {

/// Guidance rescale (Lin et al. 2023, arXiv:2305.08891, section 3.4): a guided prediction, brought back to the standard
/// deviation of the conditional one by the share `rescale`, 0 (nothing) to 1. High guidance scales overexpose samples,
/// most of all those of v-prediction models with zero terminal SNR; 0.7 is usual.
///
///     rescale * guided * std(conditional) / std(guided) + (1 - rescale) * guided
///
/// The leading axis of [rows, ...] holds `clips` clips of equal length; deviations (n - 1 in the denominator, as in
/// diffusers) are taken over a clip. Throws Error when the shapes differ, `clips` does not divide the rows, `rescale`
/// is outside [0, 1], or a clip has fewer than two elements or a guided prediction that is constant.
template <Real T, Backend B>
[[nodiscard]] Tensor<T, B> rescale_noise_cfg(const Tensor<T, B>& guided, const Tensor<T, B>& conditional,
                                             double rescale, index_t clips = 1) {
    detail::require_same_shape("rescale_noise_cfg", guided, conditional);
    require(rescale >= 0 && rescale <= 1, "rescale_noise_cfg: rescale is ", rescale, "; expected 0 to 1");
    require(clips > 0 && guided.rank() > 0 && guided.shape(0) % clips == 0, "rescale_noise_cfg: ", clips,
            " clips for a tensor of shape ", guided.shape(), "; expected a divisor of its leading extent");
    const index_t rows = guided.shape(0) / clips;
    const auto deviation = [](const Tensor<T, B>& x) {
        const auto count = static_cast<double>(x.size());
        const double sum = sum_all(x);
        return std::sqrt(std::max(squared_norm(x) - sum * sum / count, 0.0) / (count - 1));
    };
    Tensor<T, B> result(guided.backend(), guided.shape());
    for (index_t clip = 0; clip < clips; ++clip) {
        const auto part = guided.slice(clip * rows, (clip + 1) * rows);
        require(part.size() > 1, "rescale_noise_cfg: a clip has ", part.size(), " elements; expected 2 or more");
        const double spread = deviation(part);
        require(spread > 0, "rescale_noise_cfg: the guided prediction of clip ", clip,
                " is constant, so that its deviation cannot be rescaled");
        const double ratio = deviation(conditional.slice(clip * rows, (clip + 1) * rows)) / spread;
        part.backend().for_each_index(part.size(),
                                      functors::Scale<T>{static_cast<T>(rescale * ratio + 1 - rescale), part.data(),
                                                         result.slice(clip * rows, (clip + 1) * rows).data()});
    }
    return result;
}

} // namespace reel

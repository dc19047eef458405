// Tensors in a device's memory among ranks, on the stand-in for the CUDA runtime: they go by way of the host.

#include <cublas_v2.h>

#include <span>
#include <vector>

#include <reel/ops/elementwise.hpp>
#include <reel/parallel/clips_over_ranks.hpp>

#include "backend/cuda_support.hpp"
#include "ranks.hpp"

using reel::Cuda;
using reel::index_t;
using reel::Tensor;
using reel_test::world;

namespace {

/// In place of a UNet: every clip times its timestep, plus its text.
struct Formula {
    template <class X>
    [[nodiscard]] X operator()(const X& x, std::span<const double> times, const X& text, index_t frames) const {
        auto values = x.to_host();
        const auto words = text.to_host();
        const std::size_t clip = values.size() / static_cast<std::size_t>(x.shape(0) / frames);
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = values[i] * static_cast<float>(times[times.size() == 1 ? 0 : i / clip]) + words[i / clip];
        }
        return X::from_host(x.backend(), x.shape(), std::span<const float>(values));
    }
};

} // namespace

TEST_CASE("tensors of a device are summed and shared") {
    Cuda cuda(0);
    const auto sum = static_cast<float>(world().size() * (world().size() + 1)) / 2;
    const auto x = Tensor<float, Cuda>::full(cuda, {3, 5}, static_cast<float>(world().rank() + 1));
    reel::all_reduce(world(), x);
    CHECK(x.to_host() == std::vector<float>(15, sum));
    const auto narrow =
        Tensor<reel::bfloat16, Cuda>::full(cuda, {3, 5}, reel::bfloat16(static_cast<float>(world().rank() + 1)));
    reel::all_reduce(world(), narrow);
    for (const reel::bfloat16 value : narrow.to_host()) {
        CHECK(static_cast<float>(value) == sum);
    }

    std::vector<float> values;
    for (int i = 0; i < 48; ++i) {
        values.push_back(static_cast<float>(i) / 7);
    }
    const Formula formula;
    const reel::ClipsOverRanks shared{&formula, &world()};
    const auto sample = Tensor<float, Cuda>::from_host(cuda, {6, 2, 2, 2}, std::span<const float>(values));
    const auto text = Tensor<float, Cuda>::from_host(cuda, {3, 1, 1}, {10, 20, 30});
    const std::vector<double> times{1, 2, 3};
    CHECK(shared(sample, times, text, 2).shape() == sample.shape());
    CHECK(shared(sample, times, text, 2).to_host() == formula(sample, times, text, 2).to_host());
}

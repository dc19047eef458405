// Compiled once complete and once for each mistake: the first error must name the requirement that is not met.
#include <reel/models/unet.hpp>

using namespace reel;

template <Scalar T, Backend B>
struct Nothing {
#ifndef MADE_OF_NOTHING
    explicit Nothing(index_t, index_t, index_t = 0) {}
    Nothing(index_t, index_t, bool, ParameterLayout) {}
#endif
    static void members(auto&, const auto&) {}
#ifdef CALLED_WITH_TENSORS
    Tensor<T, B> operator()(const Tensor<T, B>& x, index_t) const {
        return x;
    }
#endif
};

struct MyParts : DefaultParts {
#ifdef WRONG_LINEAR
    template <Scalar T, Backend B>
    using Linear = Nothing<T, B>;
#endif
#ifdef WRONG_ATTENTION
    template <Scalar T, Backend B, class Parts>
    using Attention = Nothing<T, B>;
#endif
#ifdef WRONG_TEMPORAL
    template <Scalar T, Backend B, class Parts>
    using Temporal = Nothing<T, B>;
#endif
};

#ifdef WRONG_BACKEND
struct Place {};
#else
using Place = Cpu;
#endif
#ifdef WRONG_SCALAR
using Element = int;
#else
using Element = float;
#endif

int main() {
    const UNet3DConditionModel<Element, Place, MyParts> unet{UNetConfig{}};
#ifdef WRONG_SAMPLE
    const Tensor<double> sample;
#elif defined(WRONG_TEXT)
    const Variable<float> sample;
#else
    const Tensor<float> sample;
#endif
    const Tensor<float> text;
#ifdef WRONG_TIMESTEPS
    static_cast<void>(unet(sample, "981", text, 8));
#else
    static_cast<void>(unet(sample, 981, text, 8));
#endif
}

#pragma once
// Weights of a model that has learnt nothing, as a file.

#include <cstdint>
#include <string>
#include <vector>

#include <reel/models/state_dict.hpp>
#include <reel/nn/initialize.hpp>

namespace reel {

/// Every parameter of a module with the value that initialize() gives it, as sources for a weights file. Each is made
/// when the writer asks for it, so that a large model is never in memory. Module and backend must outlive them; the
/// module itself is left as it is.
template <Module M>
[[nodiscard]] std::vector<TensorSource> random_weights(const M& model, Cpu& cpu, std::uint64_t seed,
                                                       DType dtype = DType::f32) {
    std::vector<TensorSource> sources;
    for_each_parameter(model, [&]<Scalar T>(const std::string& name, const Parameter<T, Cpu>& parameter) {
        const Shape shape = parameter.spec().file_shape();
        sources.push_back(
            {name, dtype, std::vector<std::int64_t>(shape.begin(), shape.end()), [name, seed, dtype, &cpu, &parameter] {
                 Parameter<T, Cpu> fresh(parameter.spec());
                 initialize(fresh, cpu, name, seed);
                 return to_file_tensor(fresh.value(), fresh.spec(), dtype);
             }});
    });
    return sources;
}

} // namespace reel

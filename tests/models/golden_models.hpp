#pragma once
// The tiny models of tests/golden as reel loads them.

#include <reel/models/from_pretrained.hpp>

#include "support/golden.hpp"

namespace reel_test {

inline std::string model_folder(const std::string& model, const std::string& part) {
    return "golden/" + model + "_tiny/" + part;
}

/// Replaces parameters by the tensors of their names; what is not given stays.
template <class M>
void set_parameters(M& module, reel::Cpu& cpu, const reel::StateDict& tensors, const std::string& prefix = "") {
    std::size_t used = 0;
    reel::for_each_parameter(module, [&](const std::string& name, auto& parameter) {
        using T = typename std::remove_reference_t<decltype(parameter)>::value_type;
        if (const auto found = tensors.find(prefix + name); found != tensors.end()) {
            parameter.set_master(
                reel::tensor_from_file<reel::compute_t<T>>(found->second, parameter.spec(), cpu, name, "golden"));
            ++used;
        }
    });
    reel::require(used == tensors.size() || !prefix.empty(), "set_parameters: only ", used, " of ", tensors.size(),
                  " tensors belong to the module");
}

/// The tiny UNet with the golden temporal weights, whose output is not zero.
template <class T>
reel::UNet3DConditionModel<T> golden_unet(reel::Cpu& cpu, const std::string& model) {
    auto unet = reel::load_unet<T>(cpu, model_folder(model, "unet"));
    set_parameters(unet, cpu, Golden(model + "_temporal").tensors());
    return unet;
}

} // namespace reel_test

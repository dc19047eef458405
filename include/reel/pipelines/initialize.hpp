#pragma once
// What inflation adds to a UNet, from a file. Needs reel::io.

#include <reel/models/from_pretrained.hpp>
#include <reel/pipelines/replay.hpp>

namespace reel {

/// Sets every temporal parameter from the replay's `init.<name>`; all must be there and no other.
template <Module Unet, Backend B>
void initialize_from(const Replay& replay, Unet& unet, B& backend) {
    std::size_t used = 0;
    for_each_parameter(unet, [&]<class P>(const std::string& name, P& parameter) {
        if (is_temporal_parameter(name)) {
            using C = compute_t<typename std::remove_cvref_t<decltype(parameter.value())>::value_type>;
            parameter.set_master(
                tensor_from_file<C>(replay.tensor("init." + name), parameter.spec(), backend, name, replay.where()));
            ++used;
        }
    });
    const auto given = std::count_if(replay.tensors().begin(), replay.tensors().end(),
                                     [](const auto& entry) { return entry.first.starts_with("init."); });
    require(static_cast<std::size_t>(given) == used, replay.where(), ": ", given, " init tensors, the model has ", used,
            " temporal parameters");
}

} // namespace reel

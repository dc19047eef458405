// Names of a Stable Diffusion file, one a line: its layout, its parts, and back.

#include "fuzz/fuzz.hpp"

#include <reel/io/weights/ldm_checkpoint.hpp>
#include <reel/io/weights/ldm_config.hpp>

#include <algorithm>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    reel::StateDict tensors;
    std::string_view rest = fuzz::text_of(data, size);
    while (!rest.empty() && tensors.size() < 3000) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        const auto side = static_cast<std::int64_t>(line.size() % 4);
        tensors[std::string(line)] = reel::HostTensor::make(
            {side, side}, std::vector<float>(static_cast<std::size_t>(side) * static_cast<std::size_t>(side)));
    }
    fuzz::attempt([&] {
        const reel::LdmLayout layout = reel::ldm_layout(tensors, "fuzz");
        const reel::LdmParts parts = reel::ldm_to_diffusers(tensors, layout, "fuzz");
        fuzz::attempt([&] { (void)reel::diffusers_to_ldm(parts, layout, "fuzz"); });
        (void)reel::ldm_configs(parts, layout, {}, std::nullopt, "fuzz");
    });
    return 0;
}

// A LoRA file's tensors, one a line as a name and its shape, and the header's metadata after a line that is "{": what
// is read of them, and what they make of three layers.

#include "fuzz/fuzz.hpp"

#include <reel/io/lora/lora_file.hpp>
#include <reel/io/lora/lora_merge.hpp>

#include <algorithm>
#include <sstream>
#include <vector>

namespace {

const reel::LoraNames& names() {
    using reel::LdmPart;
    static const reel::LoraNames three(
        {{LdmPart::unet, "down_blocks.0.resnets.0.conv1", {4, 4, 3, 3}},
         {LdmPart::unet, "down_blocks.0.attentions.0.proj_in", {4, 4, 1, 1}},
         {LdmPart::text_encoder, "text_model.encoder.layers.0.self_attn.q_proj", {4, 6}}});
    return three;
}

/// The line's tensor; nothing where it is none, or a large one.
void add(reel::StateDict& tensors, const std::string& line) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    std::vector<std::int64_t> shape;
    std::size_t count = 1;
    for (std::int64_t extent = 0; words >> extent && extent >= 0 && extent <= 64 && shape.size() < 5;) {
        shape.push_back(extent);
        count *= static_cast<std::size_t>(extent);
    }
    if (count <= 4096) {
        std::vector<float> values(count);
        for (std::size_t i = 0; i < count; ++i) {
            values[i] = 0.25F * static_cast<float>(i % 7);
        }
        tensors[name] = reel::HostTensor::make<float>(std::move(shape), std::move(values));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::Choice choice(fuzz::text_of(data, size), 2);
    reel::WeightsFile file;
    std::istringstream lines{std::string(choice.rest)};
    for (std::string line; std::getline(lines, line) && file.tensors.size() < 200;) {
        if (line == "{") {
            file.metadata["lora_adapter_metadata"] = "{" + std::string(std::istreambuf_iterator<char>(lines), {});
            break;
        }
        add(file.tensors, line);
    }
    fuzz::attempt([&] {
        const reel::LoraFile read =
            reel::detail::LoraReader("fuzz.safetensors", std::move(file), names()).read(choice.which == 1);
        for (const reel::LoraAdapter& adapter : read.adapters) {
            const auto& shape = adapter.target.shape;
            const auto base = reel::HostTensor::make<float>(
                shape, std::vector<float>(reel::checked_element_count(shape, sizeof(float)), 0.5F));
            fuzz::touch(reel::merged_weight(base, {{&adapter, 0.5}}).bytes());
        }
    });
    return 0;
}

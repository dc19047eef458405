// The index of weights in several files, beside two files of tensors.

#include "fuzz/fuzz.hpp"

#include <reel/io/weights/weights.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::Folder folder([](const fuzz::Folder& made) {
        const auto one = reel::HostTensor::make<float>({1}, {1});
        reel::write_safetensors(made.path() / "a.safetensors", {{"a", one}});
        reel::write_safetensors(made.path() / "b.safetensors", {{"b", one}, {"c", one}});
    });
    constexpr const char* index = "model.safetensors.index.json";
    folder.put(index, fuzz::text_of(data, size));
    fuzz::attempt([&] {
        for (const auto& [name, tensor] : reel::read_sharded_weights(folder.path() / index)) {
            fuzz::touch(tensor.bytes());
        }
    });
    return 0;
}

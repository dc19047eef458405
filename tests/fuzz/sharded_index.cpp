// The index of weights in several files, beside two files of tensors.

#include "fuzz/fuzz.hpp"

#include <reel/io/files/atomic_file.hpp>
#include <reel/io/weights/weights.hpp>

#include <cstdlib>
#include <fstream>

namespace {

/// Made once, removed at the end.
class Folder {
public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "reel-fuzz-XXXXXX").string();
        fuzz::expect(::mkdtemp(name.data()) != nullptr);
        path = name;
        reel::write_safetensors(path / "a.safetensors", {{"a", reel::HostTensor::make<float>({1}, {1})}});
        reel::write_safetensors(path / "b.safetensors", {{"b", reel::HostTensor::make<float>({1}, {1})},
                                                         {"c", reel::HostTensor::make<float>({1}, {1})}});
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }

    std::filesystem::path path;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Folder folder;
    const std::filesystem::path index = folder.path / "model.safetensors.index.json";
    std::ofstream(index, std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    fuzz::attempt([&] {
        for (const auto& [name, tensor] : reel::read_sharded_weights(index)) {
            fuzz::touch(tensor.bytes());
        }
    });
    return 0;
}

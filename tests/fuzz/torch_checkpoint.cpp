// Files of torch.save. The first byte chooses: a whole file (a zip archive, or the format from before PyTorch 1.6), or
// a pickle, which is put into an archive with right checksums and some storages. The mutator changes pickles by whole
// opcodes.

#include "fuzz/fuzz.hpp"

#include <reel/io/weights/torch_checkpoint.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <random>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

template <class T>
void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

/// A zip archive in memory, as ZipWriter makes them but without its disk.
std::string archive_of(std::string_view pickle) {
    std::string file;
    std::string directory;
    const std::string data(64, '\x3f');
    std::uint16_t count = 0;
    const auto add = [&](std::string_view name, std::string_view content) {
        const auto offset = static_cast<std::uint32_t>(file.size());
        std::string common;
        put(common, std::uint16_t{20});
        put(common, std::uint16_t{0});
        put(common, std::uint16_t{0});
        put(common, std::uint32_t{0x210000});
        put(common, reel::crc32_of(std::as_bytes(std::span(content))));
        put(common, static_cast<std::uint32_t>(content.size()));
        put(common, static_cast<std::uint32_t>(content.size()));
        put(common, static_cast<std::uint16_t>(name.size()));
        put(common, std::uint16_t{0});
        file.append("PK\x03\x04").append(common).append(name).append(content);
        directory.append("PK\x01\x02");
        put(directory, std::uint16_t{20});
        directory.append(common).append(10, '\0');
        put(directory, offset);
        directory.append(name);
        ++count;
    };
    add("x/data.pkl", pickle);
    add("x/data/0", data);
    add("x/data/1", std::string_view(data).substr(0, 16));
    const auto begin = static_cast<std::uint32_t>(file.size());
    file.append(directory).append("PK\x05\x06").append(4, '\0');
    put(file, count);
    put(file, count);
    put(file, static_cast<std::uint32_t>(directory.size()));
    put(file, begin);
    return file.append(2, '\0');
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::Choice choice(fuzz::text_of(data, size), 2);
    const fuzz::File file(choice.which == 0 ? std::string(choice.rest) : archive_of(choice.rest));
    for (const auto objects : {reel::TorchObjects::refuse, reel::TorchObjects::skip}) {
        fuzz::attempt([&] {
            for (const auto& [name, tensor] : reel::read_torch_checkpoint(file.path(), false, objects).tensors) {
                fuzz::touch(tensor.bytes());
            }
        });
    }
    return 0;
}

#ifdef REEL_LIBFUZZER
namespace {

using namespace std::string_literals;

/// One thing that a pickle of tensors may hold.
std::string part(std::mt19937& random) {
    const auto byte = [&] { return static_cast<char>(random() % 256); };
    const auto small = [&] { return static_cast<char>(random() % 8); };
    const auto text = [](std::string_view value) {
        std::string out = "X";
        put(out, static_cast<std::uint32_t>(value.size()));
        return out.append(value);
    };
    const std::string storage = "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + "K\x10tQ";
    switch (random() % 26) {
    case 0:
        return "N";
    case 1:
        return "K"s + small();
    case 2:
        return "J"s + byte() + byte() + byte() + byte();
    case 3:
        return "\x8a\x08"s + byte() + byte() + byte() + byte() + byte() + byte() + byte() + byte();
    case 4:
        return text(random() % 2 == 0 ? "0" : "a");
    case 5:
        return "(";
    case 6:
        return "t";
    case 7:
        return ")";
    case 8:
        return "}";
    case 9:
        return "]";
    case 10:
        return "s";
    case 11:
        return "u";
    case 12:
        return "e";
    case 13:
        return "q"s + small();
    case 14:
        return "h"s + small();
    case 15:
        return "\x94";
    case 16:
        return "ctorch._utils\n_rebuild_tensor_v2\n";
    case 17:
        return "ctorch._utils\n_rebuild_parameter\n";
    case 18:
        return "ctorch._tensor\n_rebuild_from_type_v2\n";
    case 19:
        return "ccollections\nOrderedDict\n)R";
    case 20:
        return storage;
    case 21:
        return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage + "K"s + small() + "K"s + small() + "\x85K" + small() +
               "\x85\x89}tR";
    case 22:
        return "R";
    case 23:
        return "b";
    case 24:
        return std::string(1, static_cast<char>(0x85 + random() % 3));
    default:
        return "\x8c\x01"s + byte();
    }
}

} // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    std::mt19937 random(seed);
    if (size < 2 || data[0] % 2 == 0 || random() % 4 == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    std::string pickle(fuzz::text_of(data, size));
    for (auto changes = 1 + random() % 4; changes != 0; --changes) {
        const std::size_t at = 1 + random() % pickle.size();
        if (random() % 3 == 0) {
            pickle.erase(std::min(at, pickle.size() - 1), random() % 8);
        } else {
            pickle.insert(std::min(at, pickle.size()), part(random));
        }
        if (pickle.size() < 2) {
            break;
        }
    }
    if (!pickle.ends_with('.') && random() % 2 == 0) {
        pickle += '.';
    }
    pickle.resize(std::min(pickle.size(), max_size));
    std::memcpy(data, pickle.data(), pickle.size());
    return pickle.size();
}
#endif

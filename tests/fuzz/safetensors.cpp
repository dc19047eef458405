// A safetensors file. The mutator changes the header as JSON, so that what is behind the parser is reached.

#include "fuzz/fuzz.hpp"

#include <reel/io/weights/safetensors.hpp>

#include <algorithm>
#include <cstring>
#include <random>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::File file(fuzz::text_of(data, size));
    fuzz::attempt([&] {
        const reel::Safetensors read = reel::read_safetensors_file(file.path());
        for (const auto& [name, tensor] : read.tensors) {
            fuzz::touch(tensor.bytes());
            fuzz::attempt([&, &value = tensor] { (void)value.to_vector<float>(); });
        }
    });
    return 0;
}

#ifdef REEL_LIBFUZZER
namespace {

using nlohmann::json;

/// Some number that readers trip over, or one near another.
json odd_number(std::mt19937& random) {
    switch (random() % 8) {
    case 0:
        return 0;
    case 1:
        return -1;
    case 2:
        return INT64_MAX;
    case 3:
        return UINT64_MAX;
    case 4:
        return std::int64_t{1} << (random() % 63);
    case 5:
        return 1.5;
    default:
        return random() % 64;
    }
}

void change(json& value, std::mt19937& random, int depth) {
    constexpr const char* types[] = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "U16", "F8"};
    if (value.is_structured() && !value.empty() && depth < 4 && random() % 4 != 0) {
        auto item = value.begin();
        std::advance(item, static_cast<std::ptrdiff_t>(random() % value.size()));
        if (random() % 8 == 0) {
            value.erase(item);
        } else if (value.is_object() && random() % 8 == 0) {
            value[item.key() + static_cast<char>('a' + random() % 3)] = *item;
        } else {
            change(*item, random, depth + 1);
        }
    } else if (value.is_array() && random() % 2 == 0) {
        value.push_back(odd_number(random));
    } else if (value.is_string() && random() % 4 != 0) {
        value = types[random() % std::size(types)];
    } else {
        value = random() % 16 == 0 ? json::object() : random() % 16 == 0 ? json::array() : odd_number(random);
    }
}

} // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    std::mt19937 random(seed);
    std::uint64_t header_size = 0;
    if (size >= 8) {
        std::memcpy(&header_size, data, 8);
    }
    if (size < 8 || header_size > size - 8 || random() % 4 == 0) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    const std::string_view rest = fuzz::text_of(data + 8 + header_size, size - 8 - header_size);
    json header = json::parse(data + 8, data + 8 + header_size, nullptr, false);
    if (header.is_discarded()) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    for (auto changes = 1 + random() % 3; changes != 0; --changes) {
        change(header, random, 0);
    }
    const std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
    const std::uint64_t length = text.size();
    std::string result(reinterpret_cast<const char*>(&length), 8);
    result += text;
    result += rest;
    result.resize(std::min(result.size(), max_size));
    std::memcpy(data, result.data(), result.size());
    return result.size();
}
#endif

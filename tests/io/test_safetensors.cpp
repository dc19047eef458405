#include "io/temporary_folder.hpp"

#include <reel/io/weights/safetensors.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

using namespace reel_test;
using reel::HostTensor;
using reel::StateDict;

namespace {

const std::filesystem::path golden = "io/golden/weights";

/// A file of that header and that many bytes of data.
std::string raw_safetensors(const std::string& header, std::size_t data_size) {
    const std::uint64_t size = header.size();
    std::string text(reinterpret_cast<const char*>(&size), 8);
    return text + header + std::string(data_size, '\0');
}

/// The error of reading such a file, which must name it.
std::string error_of(std::string_view content) {
    TemporaryFolder folder;
    put_text(folder / "broken.safetensors", content);
    const std::string message =
        message_of<reel::Error>([&] { (void)reel::read_safetensors(folder / "broken.safetensors"); });
    CHECK((message.empty() || contains(message, "broken.safetensors")));
    return message;
}

std::string header_error(const std::string& header, std::size_t data_size) {
    return error_of(raw_safetensors(header, data_size));
}

} // namespace

TEST_CASE("a file of the Python library gives every type's values") {
    const reel::Safetensors file = reel::read_safetensors_file(golden / "types.safetensors");
    CHECK(file.metadata == reel::TextMetadata{{"format", "pt"}});
    REQUIRE(file.tensors.size() == 12);
    const std::vector<double> reals{-1, -0.5, 0, 0.5, 1, 1.5};
    for (const char* name : {"float64", "float32", "float16", "bfloat16"}) {
        const HostTensor& tensor = file.tensors.at(name);
        CHECK(reel::name_of(tensor.dtype) == name);
        CHECK(tensor.shape == std::vector<std::int64_t>{2, 3});
        CHECK(tensor.to_vector<double>() == reals);
        CHECK(tensor.to_vector<float>() == std::vector<float>(reals.begin(), reals.end()));
        CHECK(static_cast<float>(tensor.to_vector<reel::half>()[5]) == 1.5F);
        CHECK(static_cast<float>(tensor.to_vector<reel::bfloat16>()[1]) == -0.5F);
    }
    CHECK(file.tensors.at("int64").to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
    CHECK(file.tensors.at("int32").to_vector<std::int32_t>() == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5});
    CHECK(file.tensors.at("uint8").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5});
    CHECK(file.tensors.at("int16").bytes()[10] == std::byte{5});
    CHECK(file.tensors.at("int8").bytes()[5] == std::byte{5});
    CHECK(file.tensors.at("bool").bytes()[5] == std::byte{1});
    CHECK(file.tensors.at("scalar").shape.empty());
    CHECK(file.tensors.at("scalar").to_vector<float>() == std::vector<float>{2.5F});
    CHECK(file.tensors.at("empty").to_vector<float>().empty());
    file.tensors.at("float32").drop_pages();
    CHECK(file.tensors.at("float32").to_vector<double>() == reals);
}

TEST_CASE("a rewritten file is the Python library's, byte for byte") {
    TemporaryFolder folder;
    reel::write_safetensors(folder / "again.safetensors", reel::read_safetensors(golden / "types.safetensors"));
    CHECK(read_text(folder / "again.safetensors") == read_text(golden / "types.safetensors"));
    CHECK(folder.count() == 1);
}

TEST_CASE("tensors can be written one at a time, and what is announced must come") {
    TemporaryFolder folder;
    int alive = 0;
    std::vector<reel::TensorSource> sources;
    for (int i = 0; i < 5; ++i) {
        sources.push_back({reel::concat_text("t", i), reel::DType::f32, {2}, [i, &alive] {
                               CHECK(alive == 0);
                               HostTensor tensor = HostTensor::make<float>({2}, {float(i), float(-i)});
                               ++alive;
                               const auto bytes = tensor.owner;
                               tensor.owner =
                                   std::shared_ptr<const void>(bytes.get(), [bytes, &alive](const void*) { --alive; });
                               return tensor;
                           }});
    }
    reel::write_safetensors(folder / "a.safetensors", sources, {});
    const reel::Safetensors file = reel::read_safetensors_file(folder / "a.safetensors");
    CHECK(file.metadata.empty());
    CHECK(file.tensors.at("t3").to_vector<float>() == std::vector<float>{3, -3});

    sources[2].shape = {3};
    CHECK(contains(message_of<reel::Error>([&] { reel::write_safetensors(folder / "b.safetensors", sources); }),
                   "\"t2\""));
    sources[2].name = "t1";
    CHECK(contains(message_of<reel::Error>([&] { reel::write_safetensors(folder / "b.safetensors", sources); }),
                   "two tensors named \"t1\""));
    sources[2].name = "\xff\xfe";
    CHECK(contains(message_of<reel::Error>([&] { reel::write_safetensors(folder / "b.safetensors", sources); }),
                   "UTF-8"));
    sources[2].name = "__metadata__";
    CHECK_THROWS_AS(reel::write_safetensors(folder / "b.safetensors", sources), reel::Error);
    CHECK(folder.count() == 1);
}

TEST_CASE("names are kept whatever they hold") {
    TemporaryFolder folder;
    StateDict tensors;
    for (const char* name :
         {"", "a\"b", "down_blocks.0.attn1.to_q.weight", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\n"}) {
        tensors[name] = HostTensor::make<float>({}, {1});
    }
    reel::write_safetensors(folder / "a", tensors, {{"k\"", "v\n"}});
    const reel::Safetensors file = reel::read_safetensors_file(folder / "a");
    CHECK(file.metadata.at("k\"") == "v\n");
    REQUIRE(file.tensors.size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
        CHECK(file.tensors.contains(name));
    }
}

TEST_CASE("conversions round as PyTorch does, and refuse what they cannot do") {
    const HostTensor tensor = HostTensor::make<double>({4}, {1.0 / 3, 1e6, -1e-10, 65519.0});
    const auto halves = tensor.to_vector<reel::half>();
    CHECK(halves[0].bits == 0x3555);
    CHECK(halves[1].bits == 0x7c00);
    CHECK(halves[2].bits == 0x8000);
    CHECK(halves[3].bits == 0x7bff);
    CHECK(tensor.to_vector<reel::bfloat16>()[0].bits == 0x3eab);
    CHECK_THROWS_AS((void)tensor.to_vector<std::int64_t>(), reel::Error);
    const HostTensor integers = HostTensor::make<std::int64_t>({1}, {7});
    CHECK(contains(message_of<reel::Error>([&] { (void)integers.to_vector<float>(); }), "int64"));
    CHECK(contains(message_of<reel::Error>([&] { (void)integers.to_vector<std::int32_t>(); }), "int32"));
    std::vector<double> small(3);
    CHECK_THROWS_AS(tensor.copy_to(std::span<double>(small)), reel::Error);
    CHECK_THROWS_AS((void)HostTensor::make<float>({2, 2}, {1, 2, 3}), reel::Error);
    CHECK_THROWS_AS((void)HostTensor::make<float>({-1}, {}), reel::Error);
    CHECK_THROWS_AS((void)reel::checked_element_count(std::vector<std::int64_t>{1LL << 40, 1LL << 40}, 4), reel::Error);
    CHECK_THROWS_AS((void)reel::checked_element_count(std::vector<std::int64_t>{0, 1LL << 40, 1LL << 40}, 4),
                    reel::Error);
    CHECK(reel::checked_element_count(std::vector<std::int64_t>{5, 0}, 4) == 0);
}

TEST_CASE("what stands in a weights file's place is recognised") {
    CHECK(contains(error_of("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"), "git lfs pull"));
    CHECK(contains(error_of("<!DOCTYPE html><html></html>"), "web page"));
    CHECK(contains(error_of(""), "empty"));
    CHECK(contains(error_of("short"), "too short"));
    // A length of 60 begins like a web page.
    CHECK(contains(error_of(std::string("<\0\0\0\0\0\0\0", 8)), "truncated"));
    CHECK(contains(error_of(std::string("<\0\0\0\0\xff\xff\xff{}", 10)), "announce a header"));
    CHECK(contains(error_of("some text of a certain length"), "announce a header"));
    CHECK(contains(message_of<reel::Error>([&] { (void)reel::read_safetensors("none.safetensors"); }), "No such file"));
}

TEST_CASE("each fault of a header has its message, which names the tensor") {
    const auto one = [](const std::string& type, const std::string& shape, const std::string& offsets) {
        return R"({"t.w":{"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
    };
    CHECK(header_error(one(R"("F32")", "[2]", "[0,8]"), 8).empty());
    CHECK(header_error(one(R"("F32")", "[2]", "[0,8]") + "   ", 8).empty());
    CHECK(header_error(" \t\r\n" + one(R"("F32")", "[2]", "[0,8]"), 8).empty());
    CHECK(header_error(std::string(5000, ' ') + one(R"("F32")", "[2]", "[0,8]"), 8).empty());
    CHECK(contains(header_error("    ", 0), "no JSON object"));
    CHECK(contains(header_error(" [1]", 0), "no JSON object"));
    CHECK(header_error("{}", 0).empty());
    const std::vector<std::pair<std::string, std::string>> faults{
        {header_error(one(R"("F32")", "[2]", "[0,8]"), 7), "only 7 bytes"},
        {header_error(one(R"("F32")", "[2]", "[0,8]"), 9), "end at data byte 8"},
        {header_error(one(R"("F32")", "[3]", "[0,8]"), 8), "takes 12 bytes"},
        {header_error(one(R"("F64")", "[2]", "[0,8]"), 8), "float64 [2] takes 16 bytes"},
        {header_error(one(R"("F31")", "[2]", "[0,8]"), 8), "\"F31\" is not supported"},
        {header_error(one("7", "[2]", "[0,8]"), 8), "the type 7"},
        {header_error(one(R"("F32")", "[-2]", "[0,8]"), 8), "\"shape\""},
        {header_error(one(R"("F32")", "[2.0]", "[0,8]"), 8), "\"shape\""},
        {header_error(one(R"("F32")", "2", "[0,8]"), 8), "\"shape\""},
        {header_error(one(R"("F32")", "[18446744073709551615]", "[0,8]"), 8), "\"shape\""},
        {header_error(one(R"("F32")", "[4611686018427387904,4]", "[0,8]"), 8), "too large"},
        {header_error(one(R"("F32")", "[2]", "[8,0]"), 8), "[begin, end]"},
        {header_error(one(R"("F32")", "[2]", "[0,8,8]"), 8), "[begin, end]"},
        {header_error(one(R"("F32")", "[2]", "[-8,0]"), 8), "data_offsets"},
        {header_error(one(R"("F32")", "[2]", "[0,9223372036854775807]"), 8), "truncated?"},
        {header_error(one(R"("F32")", "[2]", "[1,9]"), 9), "leaving a gap"},
        {header_error(R"({"t.w":[1]})", 0), "expected an object"},
        {header_error(R"({"t.w":{"dtype":"F32","shape":[2]}})", 0), "\"data_offsets\" is missing"},
        {header_error(R"({"t.w":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}})", 0), "holds keys other"},
        {header_error(
             R"({"t.w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
             3),
         "inside the tensor before it"},
        {header_error(
             R"({"t.w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t.w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
             1),
         "appears twice"},
    };
    for (const auto& [text, part] : faults) {
        const std::string& message = text; // clang 14 captures no structured binding
        CAPTURE(message);
        CHECK(contains(message, part));
        CHECK((contains(message, "t.w") || contains(message, "\"u\"") || contains(message, "data byte 8")));
    }
    CHECK(contains(header_error(R"({"__metadata__":{"a":1}})", 0), "not a string"));
    CHECK(contains(header_error(R"({"__metadata__":3})", 0), "not an object"));
    CHECK(contains(header_error("[1]", 0), "no JSON object"));
    CHECK(contains(header_error("{\"a\":", 0), "not valid JSON at line 1"));
    CHECK(contains(header_error("{\"\xff\":1}", 0), "not valid JSON"));
    CHECK(contains(header_error(reel::concat_text("{\"a\":", std::string(100'000, '[')), 0), "nested deeper"));
    std::string long_header = raw_safetensors("{}", 0);
    const std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
    std::memcpy(long_header.data(), &huge, 8);
    CHECK(contains(error_of(long_header), "announce a header of 18446744073709551615"));
    const std::uint64_t too_long = 20'000'000;
    std::memcpy(long_header.data(), &too_long, 8);
    CHECK(contains(error_of(long_header), "truncated"));
    CHECK(contains(message_of<reel::Error>([&] { (void)reel::read_safetensors(golden / "uint16.safetensors"); }),
                   "\"U16\""));
}

TEST_CASE("a file cut at any length is an error") {
    TemporaryFolder folder;
    const std::string whole = read_text(golden / "types.safetensors");
    REQUIRE(whole.size() > 900);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        put_text(folder / "cut", std::string_view(whole).substr(0, size));
        REQUIRE_FALSE(message_of<reel::Error>([&] { (void)reel::read_safetensors(folder / "cut"); }).empty());
    }
}

TEST_CASE("a damaged file is an error or reads within its bounds") {
    TemporaryFolder folder;
    const std::string whole = read_text(golden / "types.safetensors");
    std::mt19937 random(1);
    int errors = 0;
    for (int round = 0; round < 4000; ++round) {
        std::string damaged = whole;
        for (auto flips = 1 + random() % 3; flips != 0; --flips) {
            const std::size_t at = random() % damaged.size();
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
        }
        put_text(folder / "damaged", damaged);
        double sum = 0;
        errors += message_of<reel::Error>([&] {
                      for (const auto& [name, tensor] : reel::read_safetensors(folder / "damaged")) {
                          for (const std::byte byte : tensor.bytes()) {
                              sum += static_cast<double>(byte);
                          }
                      }
                  }).empty()
                      ? 0
                      : 1;
    }
    CHECK(errors > 2000);
    CHECK(errors < 4000);
}

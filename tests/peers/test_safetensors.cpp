// The files that safetensors' Rust tests hold (its format's judge), and its repository's abuse attempts (attacks/),
// made here by their rule.

#include <doctest/doctest.h>

#include <cstddef>
#include <ctime>
#include <map>
#include <string>

#include <reel/io/weights/safetensors.hpp>

#include "io/temporary_folder.hpp"
#include "peers.hpp"

using namespace reel;
using reel_test::TemporaryFolder;

namespace {

/// The Error's message, or nothing.
std::string refusal(const std::filesystem::path& path) {
    try {
        unsigned sum = 0;
        for (const auto& [name, tensor] : read_safetensors(path)) {
            for (const std::byte byte : tensor.bytes()) {
                sum += std::to_integer<unsigned>(byte);
            }
        }
        CHECK(sum == 0); // all of these hold zeros
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

std::string with_length(const std::string& header, const std::string& data) {
    std::string file(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) {
        file[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
    }
    return file + header + data;
}

/// `count` names for the same 16 bytes.
std::string many_names(std::size_t count) {
    std::string header = "{";
    for (std::size_t i = 0; i < count; ++i) {
        header += (i == 0 ? "\"weight_" : ", \"weight_") + std::to_string(i) +
                  R"(": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]})";
    }
    return with_length(header + "}", std::string(16, '\0'));
}

} // namespace

TEST_CASE("safetensors' Rust tests: what its reader reads and refuses") {
    // The sentence for each that is refused; nothing: it is read.
    const std::map<std::string, std::string> expected{
        {"test_deserialization-0", ""},
        {"test_empty_shapes_allowed-0", ""},
        {"test_header_too_large-0", "announce a header of"},
        {"test_header_too_small-0", "empty"},
        {"test_invalid_header_length-0", "truncated"},
        {"test_invalid_header_non_utf8-0", "no JSON object"},
        {"test_invalid_header_not_json-0", "not valid JSON"},
        {"test_invalid_info-0", "ends at data byte 4, but the file has only 0 bytes of data"},
        {"test_lifetimes-0", ""},
        {"test_metadata_incomplete_buffer-0", "the file has 50 bytes of data"},
        {"test_metadata_incomplete_buffer-1", "the file has only 14 bytes of data"},
        {"test_validation_overflow-0", "integers from 0 to 2^63-1"},
        {"test_validation_overflow-1", "is too large"},
        {"test_whitespace_leading_padded_header-0", ""},
        {"test_whitespace_padded_header-0", ""},
        {"test_zero_sized_tensor-0", ""},
    };
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator(peers::suite("safetensors") / "cases")) {
        const std::string name = entry.path().stem().string();
        CAPTURE(name);
        REQUIRE(expected.contains(name));
        const std::string message = refusal(entry.path());
        CAPTURE(message);
        CHECK(message.empty() == expected.at(name).empty());
        CHECK(message.find(expected.at(name)) != std::string::npos);
        ++found;
    }
    CHECK(found == 16);
}

TEST_CASE("safetensors' abuse attempts are refused, and soon") {
    const TemporaryFolder folder;
    const auto refused = [&](const std::string& file, const std::string& sentence) {
        reel_test::put_text(folder / "abuse.safetensors", file);
        const std::clock_t begin = std::clock();
        const std::string message = refusal(folder / "abuse.safetensors");
        CAPTURE(message);
        CHECK(message.find(sentence) != std::string::npos);
        CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 20); // seconds of the processor
    };
    std::string announced = with_length("{}", std::string(16, '\0'));
    announced[0] = static_cast<char>(1000 & 0xFF);
    announced[1] = static_cast<char>(1000 >> 8);
    refused(announced, "truncated");                             // attempt 1: a header longer than the file
    refused(many_names(10), "inside the tensor before it");      // test_json_attack
    refused(many_names(100'000), "inside the tensor before it"); // attempt 3
    refused(many_names(1'000'000), "announce a header of");      // attempt 2, a tenth of it
}

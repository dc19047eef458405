#include "io/temporary_folder.hpp"

#include <reel/io/files/sha256.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace reel_test;

namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

} // namespace

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples") {
    CHECK(reel::sha256_hex({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(reel::sha256_hex(bytes_of("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(reel::sha256_hex(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(reel::sha256_hex(bytes_of(std::string(1'000'000, 'a'))) ==
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("SHA-256 does not depend on the pieces or on the instructions used") {
    std::string text;
    for (int i = 0; i < 300; ++i) {
        text += static_cast<char>(i * 37 % 251);
        const std::string whole = reel::sha256_hex(bytes_of(text));
        for (const std::size_t piece : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}}) {
            reel::Sha256 hash(piece % 2 == 1);
            for (std::size_t at = 0; at < text.size(); at += piece) {
                hash.update(bytes_of(text).subspan(at, std::min(piece, text.size() - at)));
            }
            REQUIRE(hash.hex() == whole);
        }
    }
}

TEST_CASE("SHA-256 of a file") {
    TemporaryFolder folder;
    put_text(folder / "a", "abc");
    put_text(folder / "empty", "");
    CHECK(reel::sha256_file(folder / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(reel::sha256_file(folder / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK_THROWS_AS((void)reel::sha256_file(folder / "b"), reel::Error);
}

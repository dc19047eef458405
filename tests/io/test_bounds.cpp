#include "io/pickle_text.hpp"
#include "io/temporary_folder.hpp"
#include "support/cost.hpp"

#include <reel/io/weights/torch_checkpoint.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

// The budget of docs/io.md, held by files made to break it.

using namespace reel_test;
using namespace std::string_literals;

namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// Reads a file that holds `content` and checks what that costs: at most twice its size and the constant in memory, and
/// a microsecond per byte and a second, far above what any reader needs.
template <class Read>
std::string read_within_budget(std::string_view content, const Read& read, std::size_t constant = 160 * mebibyte) {
    TemporaryFolder folder;
    const std::filesystem::path path = folder / "hostile";
    put_text(path, content);
    const auto action = [&] { return message_of<reel::Error>([&] { read(path); }); };
    const Cost cost = cost_of(action);
    CAPTURE(content.size());
    CAPTURE(cost.seconds);
    CAPTURE(cost.bytes >> 20);
    CHECK(cost.ended);
    CHECK(cost.seconds < 1 + 1e-6 * static_cast<double>(content.size()));
    CHECK((!measures_memory || cost.bytes <= 2 * content.size() + constant));
    return cost.ended ? action() : "no end";
}

std::string read_pickle(const std::string& pickle, std::string_view storage = "") {
    TemporaryFolder folder;
    reel::ZipWriter zip(folder / "a.pt");
    zip.add("x/data.pkl", pickle);
    zip.add("x/data/0", storage);
    zip.finish();
    return read_within_budget(read_text(folder / "a.pt"), [](const std::filesystem::path& path) {
        for (const auto objects : {reel::TorchObjects::refuse, reel::TorchObjects::skip}) {
            (void)reel::read_torch_checkpoint(path, true, objects);
        }
    });
}

std::string repeated(std::string_view part, std::size_t count) {
    std::string text;
    text.reserve(part.size() * count);
    for (std::size_t i = 0; i < count; ++i) {
        text += part;
    }
    return text;
}

} // namespace

TEST_CASE("a pickle costs no more than its length allows") {
    // A list of lists of ... of None, each level the one below 250 times, under a long name.
    std::string inner = "N";
    for (int level = 0; level < 3; ++level) {
        inner = "](" + inner + "q\x01" + repeated("h\x01", 249) + "e";
    }
    CHECK(contains(read_pickle(proto + "}(" + text(std::string(4000, 'a')) + inner + "u."), "names and tensors"));

    // One opcode, over and over.
    const std::size_t many = 8 * mebibyte;
    CHECK(contains(read_pickle(proto + std::string(many, 'N') + "."), "values"));
    CHECK(contains(read_pickle(proto + std::string(many, ']') + "."), "values"));
    CHECK(contains(read_pickle(proto + "N" + std::string(many, '\x85') + "."), "values"));
    CHECK(contains(read_pickle(proto + "Nq\x01" + repeated("h\x01\x85", many / 3) + "."), "values"));
    CHECK(contains(read_pickle(proto + std::string(many, '(') + "."), "nested deeper"));
    CHECK(contains(read_pickle(proto + "N" + std::string(many, '\x94') + "."), "memo"));
    CHECK(contains(read_pickle(proto + "Nr\xff\xff\xff\x7f."), "memo"));
    CHECK(contains(read_pickle(proto + "Nq\x01" + repeated("h\x01", many / 2) + "."), "left over"));
    CHECK(contains(read_pickle(proto + "](Nq\x01" + repeated("h\x01", many / 2) + "e."), "names and tensors"));
    CHECK(contains(read_pickle(proto + std::string(17 * mebibyte, 'N') + "."), "too large"));

    // Long texts by reference: as a storage's key, a name, a global.
    const std::string ids = "(" + text("storage") + "ctorch\nFloatStorage\nh\x01" + text("cpu");
    CHECK_FALSE(
        read_pickle(proto + "N" + text(std::string(mebibyte, 'k')) + "q\x01" + repeated(ids + "K\x04tQ", 10'000) + ".")
            .empty());
    CHECK_FALSE(
        read_pickle(proto + text(std::string(mebibyte, 'k')) + "q\x01" + repeated("h\x01h\x01\x93", 100'000) + ".")
            .empty());
    CHECK(contains(read_pickle(proto + "}q\x02(" + text(std::string(mebibyte, 'k')) + "q\x01" +
                               repeated("Nh\x01", 100'000) + "Nu."),
                   "name"));
}

TEST_CASE("tensors of a pickle share shapes, and strides of zero expand little") {
    // One shape of 64 axes, a tensor after the other.
    const std::string shape = "(" + repeated("K\x01", 64) + "tq\x02";
    const std::string one =
        "ctorch._utils\n_rebuild_tensor_v2\nq\x03" + ("(" + storage(1)) + "q\x04K\x00"s + shape + "h\x02\x89}tq\x05R";
    CHECK(contains(read_pickle(proto + "](" + one + repeated("h\x03h\x05R", 400'000) + "e.", "abcd"),
                   "names and tensors"));
    // 2^26 elements of one.
    CHECK(contains(
        read_pickle(proto + tensor(storage(1), "K\x00"s, int32(1U << 26) + "\x85", "K\x00\x85"s) + ".", "abcd"),
        "expand"));
}

TEST_CASE("many storages of an old checkpoint are found fast") {
    // As torch.save wrote before 1.6: a magic number, 1001, system information, the object, the storages' keys.
    constexpr std::uint32_t count = 60'000;
    std::string keys;
    std::string storages;
    std::string tensors;
    for (std::uint32_t i = 0; i < count; ++i) {
        keys += text(std::to_string(i));
        storages += std::string("\1\0\0\0\0\0\0\0abcd", 12);
        tensors += tensor(storage_id("storage", "FloatStorage", std::to_string(i), int32(1)), "K\x00"s, "K\x01\x85",
                          "K\x01\x85");
    }
    const std::string magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    const std::string content = magic + proto + "M\xe9\x03." + proto + "}" + "." + proto + "](" + tensors + "e." +
                                proto + "](" + keys + "e." + storages;
    const std::string message = read_within_budget(content, [](const std::filesystem::path& path) {
        const auto file = reel::read_torch_checkpoint(path);
        reel::require(file.tensors.size() == count, "not all");
    });
    CHECK(message.empty());
}

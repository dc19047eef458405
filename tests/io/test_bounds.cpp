#include "io/pickle_text.hpp"
#include "io/temporary_folder.hpp"
#include "support/cost.hpp"

#include <reel/io/config/json.hpp>
#include <reel/io/config/yaml.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

TEST_CASE("entries of an archive that overlap are refused, however many there are") {
    TemporaryFolder folder;
    const std::string data(64 << 10, 'x');
    {
        reel::ZipWriter zip(folder / "a.pt");
        zip.add("x/data.pkl", proto + "}.");
        zip.add("x/data/0", data);
        zip.finish();
    }
    // Directory entries that all name the second file's bytes.
    std::string content = read_text(folder / "a.pt");
    const std::size_t first = content.find("PK\x01\x02");
    const std::size_t second = content.find("PK\x01\x02", first + 4);
    const std::size_t end = content.find("PK\x05\x06");
    std::string entry = content.substr(second, end - second);
    std::string directory = content.substr(first, end - first);
    constexpr std::uint16_t copies = 20'000;
    for (std::uint16_t i = 0; i < copies; ++i) {
        const std::string name = std::to_string(100'00000 + i); // eight characters, as "x/data/0"
        directory += entry.replace(46, 8, name.substr(0, 8));
    }
    const auto size = static_cast<std::uint32_t>(directory.size());
    const std::uint16_t entries = copies + 2;
    std::string last = content.substr(end);
    std::memcpy(last.data() + 8, &entries, 2);
    std::memcpy(last.data() + 10, &entries, 2);
    std::memcpy(last.data() + 12, &size, 4);
    const std::string message =
        read_within_budget(content.substr(0, first) + directory + last,
                           [](const std::filesystem::path& path) { (void)reel::read_torch_checkpoint(path); });
    CHECK(contains(message, "overlap"));
}

TEST_CASE("a safetensors header costs little beside its tensors") {
    const auto read = [](const std::filesystem::path& path) { (void)reel::read_safetensors(path); };
    const auto file = [](const std::string& header) {
        const std::uint64_t size = header.size();
        return std::string(reinterpret_cast<const char*>(&size), 8) + header;
    };
    std::string many = "{";
    for (int i = 0; i < 150'000; ++i) {
        many += reel::concat_text(i == 0 ? "" : ",", '"', i, R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
    }
    CHECK(read_within_budget(file(many + "}"), read, 40 * mebibyte).empty());
    const auto value = [](const std::string& text) { return R"({"a":{"dtype":"U8","shape":)" + text + "}}"; };
    CHECK(contains(read_within_budget(file(value("[" + repeated("0,", 5'000'000) + "0]")), read), "values"));
    CHECK(contains(read_within_budget(file(value("[" + repeated("0,", 500'000) + "0]")), read), "at most 64"));
    CHECK(contains(read_within_budget(file(value(std::string(10'000'000, '['))), read), "nested deeper"));
    CHECK(contains(read_within_budget(file("{\"" + std::string(30 * mebibyte, 'a')), read), "JSON"));
    CHECK(contains(read_within_budget(file("{" + std::string(33 * mebibyte, ' ')), read), "announce a header"));
}

TEST_CASE("JSON is read within its limits") {
    const auto read = [](const std::filesystem::path& path) { (void)reel::read_json(path); };
    CHECK(contains(read_within_budget("[" + repeated("0,", 5'000'000) + "0]", read), "524288 values"));
    std::string keys = "{";
    for (int i = 0; i < 700'000; ++i) {
        keys += reel::concat_text(i == 0 ? "" : ",", '"', i, "\":\"\"");
    }
    CHECK(contains(read_within_budget(keys + "}", read), "524288 values"));
    CHECK(contains(read_within_budget(std::string(10'000'000, '['), read), "nested deeper than 64"));
    CHECK(contains(read_within_budget(repeated("{\"a\":", 1'000'000), read), "nested deeper than 64"));
    CHECK(read_within_budget("\"" + std::string(15 * mebibyte, 'a') + "\"", read).empty());
    CHECK(contains(read_within_budget(std::string(17 * mebibyte, ' '), read), "too large"));
}

TEST_CASE("YAML of many values says so, and does not blame aliases") {
    const auto read = [](const std::filesystem::path& path) { (void)reel::read_yaml(path); };
    const std::string many = read_within_budget("[" + repeated("a,", 400'000) + "]", read);
    CHECK(contains(many, "more values than"));
    CHECK_FALSE(contains(many, "alias"));
    CHECK(contains(read_within_budget(std::string(900'000, '['), read), "deep"));
    CHECK(contains(
        read_within_budget("a: &a [" + repeated("x,", 20'000) + "]\nb: [" + repeated("*a,", 100) + "]\n", read),
        "aliases expand"));
}

TEST_CASE("a picture is as large as its file allows, and no larger than 64 million pixels") {
    TemporaryFolder folder;
    // The largest that is read: white, in a file of some 200 kB.
    reel::write_png(folder / "a.png", reel::make_frames(1, 8192, 8192));
    std::string content = read_text(folder / "a.png");
    const auto read = [](const std::filesystem::path& path) { (void)reel::read_png(path); };
    CHECK(read_within_budget(content, read, 200 * mebibyte).empty());
    content[18] = 0x40; // 16384 pixels wide; the checksum follows
    const std::uint32_t sum = __builtin_bswap32(reel::crc32_of(std::as_bytes(std::span(content).subspan(12, 17))));
    std::memcpy(content.data() + 29, &sum, 4);
    CHECK(contains(read_within_budget(content, read), "more than 67108864 pixels"));
}

#include <doctest/doctest.h>

#include <reel/io/pictures/png.hpp>
#include <reel/io/records/tensorboard.hpp>

#include <sys/resource.h>

#include <csignal>
#include <limits>
#include <map>
#include <vector>

#include "temporary_folder.hpp"

using namespace reel_test;
using reel::TensorBoardWriter;

namespace {

std::uint32_t crc_of(std::string_view text) {
    return reel::crc32c(std::as_bytes(std::span(text.data(), text.size())));
}

/// Reads `size` bytes of a little-endian number.
std::uint64_t little_endian(std::string_view text, std::size_t size) {
    REQUIRE(text.size() >= size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
        value |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
    }
    return value;
}

/// A message's fields by number: numbers as they are, fixed ones as their bits, bytes as text.
struct Field {
    std::uint64_t number = 0;
    std::string text{};
};

std::multimap<int, Field> fields_of(std::string_view message) {
    std::multimap<int, Field> fields;
    const auto varint = [&] {
        std::uint64_t value = 0;
        for (int shift = 0;; shift += 7) {
            REQUIRE(!message.empty());
            const auto byte = static_cast<unsigned char>(message.front());
            message.remove_prefix(1);
            value |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) {
                return value;
            }
        }
    };
    while (!message.empty()) {
        const std::uint64_t tag = varint();
        Field field;
        std::size_t size = 0;
        switch (tag & 7U) {
        case 0:
            field.number = varint();
            break;
        case 1:
        case 5:
            size = (tag & 7U) == 1 ? 8 : 4;
            field.number = little_endian(message, size);
            break;
        case 2:
            size = varint();
            REQUIRE(message.size() >= size);
            field.text = message.substr(0, size);
            break;
        default:
            FAIL("wire type");
        }
        message.remove_prefix(size);
        fields.emplace(static_cast<int>(tag >> 3U), field);
    }
    return fields;
}

/// The messages of a record file, with every checksum checked.
std::vector<std::string> records_of(std::string_view file) {
    std::vector<std::string> records;
    while (!file.empty()) {
        const std::size_t size = little_endian(file, 8);
        REQUIRE(file.size() >= size + 16);
        const auto masked = [](std::string_view text) {
            const std::uint32_t crc = crc_of(text);
            return ((crc >> 15U) | (crc << 17U)) + 0xA282EAD8U;
        };
        CHECK(little_endian(file.substr(8), 4) == masked(file.substr(0, 8)));
        CHECK(little_endian(file.substr(12 + size), 4) == masked(file.substr(12, size)));
        records.emplace_back(file.substr(12, size));
        file.remove_prefix(size + 16);
    }
    return records;
}

float simple_value(const std::multimap<int, Field>& value) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(value.find(2)->second.number));
}

} // namespace

TEST_CASE("CRC-32C gives the values of RFC 3720") {
    CHECK(crc_of("123456789") == 0xE3069283U);
    CHECK(crc_of("") == 0);
    CHECK(crc_of(std::string(32, '\0')) == 0x8A9136AAU);
    CHECK(crc_of(std::string(32, '\xff')) == 0x62A8AB43U);
    std::string rising;
    for (char c = 0; c < 32; ++c) {
        rising += c;
    }
    CHECK(crc_of(rising) == 0x46DD794EU);
    const std::string falling(rising.rbegin(), rising.rend());
    CHECK(crc_of(falling) == 0x113FDB5CU);
    // In pieces.
    const auto bytes = std::as_bytes(std::span(rising.data(), rising.size()));
    CHECK(reel::crc32c(bytes.subspan(5), reel::crc32c(bytes.first(5))) == 0x46DD794EU);
}

TEST_CASE("an event file holds what was written, after each call") {
    TemporaryFolder folder;
    TensorBoardWriter board(folder / "board");
    const std::string name = board.path().filename().string();
    CHECK(name.starts_with("events.out.tfevents."));
    CHECK(records_of(read_text(board.path())).size() == 1);
    board.scalar("train/loss", 0.1, 1);
    CHECK(records_of(read_text(board.path())).size() == 2);
    board.scalars({{"train/loss", 0.25}, {"train/learning_rate", 3e-5}}, std::int64_t{1} << 40);
    board.scalar("not a number", std::numeric_limits<double>::quiet_NaN(), 3);
    reel::Frames picture = reel::make_frames(1, 3, 5);
    picture.rgb[7] = 200;
    const auto png = reel::encode_png(picture);
    board.picture("preview", png, 3, 5, 4);

    const auto records = records_of(read_text(board.path()));
    REQUIRE(records.size() == 5);
    CHECK(fields_of(records[0]).find(3)->second.text == "brain.Event:2");
    const double now = reel::detail::seconds_since_1970();
    for (const std::string& record : records) {
        const auto time = std::bit_cast<double>(fields_of(record).find(1)->second.number);
        CHECK(time <= now);
        CHECK(time > now - 60);
    }
    const auto second = fields_of(records[2]);
    CHECK(second.find(2)->second.number == std::uint64_t{1} << 40);
    const auto summary = fields_of(second.find(5)->second.text);
    REQUIRE(summary.count(1) == 2);
    auto value = summary.find(1);
    CHECK(fields_of(value->second.text).find(1)->second.text == "train/loss");
    CHECK(simple_value(fields_of(value->second.text)) == 0.25F);
    ++value;
    CHECK(fields_of(value->second.text).find(1)->second.text == "train/learning_rate");
    CHECK(simple_value(fields_of(value->second.text)) == 3e-5F);
    const auto third = fields_of(fields_of(records[3]).find(5)->second.text);
    CHECK(std::isnan(simple_value(fields_of(third.find(1)->second.text))));
    const auto shown = fields_of(fields_of(fields_of(records[4]).find(5)->second.text).find(1)->second.text);
    const auto image = fields_of(shown.find(4)->second.text);
    CHECK(image.find(1)->second.number == 3);
    CHECK(image.find(2)->second.number == 5);
    const std::string& bytes = image.find(4)->second.text;
    CHECK(reel::decode_png(std::as_bytes(std::span(bytes)), "preview").rgb == picture.rgb);
}

TEST_CASE("a continued run gets a file of its own, which says where it begins") {
    TemporaryFolder folder;
    TensorBoardWriter first(folder.path());
    TensorBoardWriter second(folder.path(), 7);
    CHECK(first.path() != second.path());
    CHECK(folder.count() == 2);
    const auto records = records_of(read_text(second.path()));
    REQUIRE(records.size() == 2);
    const auto start = fields_of(records[1]);
    CHECK(start.find(2)->second.number == 7);
    CHECK(fields_of(start.find(7)->second.text).find(1)->second.number == 1);
    // A writer may be moved; its file goes on.
    TensorBoardWriter moved(std::move(second));
    moved.scalar("a", 1, 7);
    CHECK(records_of(read_text(moved.path())).size() == 3);
}

TEST_CASE("what cannot be written is an error") {
    TemporaryFolder folder;
    put_text(folder / "file", "x");
    CHECK(contains(message_of<reel::Error>([&] { TensorBoardWriter board(folder / "file"); }), "cannot create folder"));
    TensorBoardWriter board(folder / "board");
    CHECK(contains(message_of<reel::Error>([&] { board.scalar("", 1, 2); }), "a curve without a name at step 2"));
    const std::vector<std::byte> nothing(8);
    CHECK(contains(message_of<reel::Error>([&] { board.picture("p", nothing, 1, 1, 1); }), "not a PNG"));
    CHECK(records_of(read_text(board.path())).size() == 1);
    // A full disk, for which a limit on the file's size stands.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    rlimit small = before;
    small.rlim_cur = std::filesystem::file_size(board.path());
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string message = message_of<reel::Error>([&] { board.scalar("a", 1, 1); });
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(contains(message, "cannot write " + board.path().string()));
}

TEST_CASE("TensorBoard reads what we write") {
    const char* python = std::getenv("REEL_PYTHON_METRICS");
    if (python == nullptr || *python == '\0') {
        MESSAGE("skipped \"TensorBoard reads what we write\": set REEL_PYTHON_METRICS to a Python with tensorboard");
        return;
    }
    TemporaryFolder folder;
    {
        TensorBoardWriter board(folder.path());
        for (int step = 1; step <= 8; ++step) {
            board.scalars({{"train/loss", 1.0 / step}, {"train/learning_rate", 3e-5}}, step);
        }
        reel::Frames picture = reel::make_frames(1, 3, 5);
        board.picture("preview", reel::encode_png(picture), 3, 5, 4);
    }
    {
        TensorBoardWriter board(folder.path(), 6); // the run was killed after step 8 and goes on from step 5
        for (int step = 6; step <= 10; ++step) {
            board.scalar("train/loss", 10.0 + step, step);
        }
    }
    const std::string command =
        reel::concat_text("'", python, "' io/check_tensorboard.py '", folder.path().string(), "'");
    CHECK(std::system(command.c_str()) == 0);
}

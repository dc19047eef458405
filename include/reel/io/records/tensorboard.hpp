#pragma once
// Event files that TensorBoard reads. Needs POSIX; no other library.

#include <reel/core/error.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/crc32c.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace reel {

namespace detail {

/// A protocol buffer message being put together, field by field (the wire format of protobuf.dev/programming-guides/
/// encoding). Numbers are little-endian on every machine.
class ProtobufMessage {
public:
    ProtobufMessage& varint(int field, std::uint64_t value) {
        tag(field, 0);
        append_varint(value);
        return *this;
    }
    ProtobufMessage& fixed(int field, double value) {
        tag(field, 1);
        append_little_endian(std::bit_cast<std::uint64_t>(value));
        return *this;
    }
    ProtobufMessage& fixed(int field, float value) {
        tag(field, 5);
        append_little_endian(std::bit_cast<std::uint32_t>(value));
        return *this;
    }
    ProtobufMessage& bytes(int field, std::string_view value) {
        tag(field, 2);
        append_varint(value.size());
        text_ += value;
        return *this;
    }

    template <std::unsigned_integral U>
    void append_little_endian(U value) {
        for (std::size_t i = 0; i < sizeof(U); ++i) {
            text_ += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
        }
    }
    void append(std::string_view text) { text_ += text; }

    [[nodiscard]] const std::string& text() const { return text_; }

private:
    void tag(int field, unsigned wire_type) { append_varint(static_cast<std::uint64_t>(field) << 3U | wire_type); }

    void append_varint(std::uint64_t value) {
        while (value >= 0x80) {
            text_ += static_cast<char>(static_cast<unsigned char>(value | 0x80U));
            value >>= 7;
        }
        text_ += static_cast<char>(static_cast<unsigned char>(value));
    }

    std::string text_;
};

/// One record of TensorFlow's record format: length, its checksum, data, its checksum.
[[nodiscard]] inline std::string tensorflow_record(std::string_view data) {
    const auto checksum = [](std::string_view text) {
        return masked_crc32c(std::as_bytes(std::span(text.data(), text.size())));
    };
    ProtobufMessage record;
    record.append_little_endian(std::uint64_t{data.size()});
    record.append_little_endian(checksum(record.text()));
    record.append(data);
    record.append_little_endian(checksum(data));
    return record.text();
}

[[nodiscard]] inline double seconds_since_1970() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

} // namespace detail

/// Writes curves and pictures that TensorBoard shows, into a new event file of a folder:
///
///     TensorBoardWriter board("output/tensorboard");
///     board.scalar("train/loss", 0.12, step);
///
/// Every call is one write to the file, so that a run that is killed leaves all but perhaps its last record, and
/// TensorBoard can look on. This is the one file that does not wait for its end to get its name: TensorBoard follows
/// files as they grow.
///
/// A continued run gives `resume_step`, the first step that it writes: it gets a file of its own, which tells
/// TensorBoard to forget what earlier files of the folder say from that step on.
///
/// The format: TensorFlow's record framing (tensorflow/core/lib/io/record_writer) around Event messages
/// (tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto).
class TensorBoardWriter {
public:
    /// Makes `folder` where it is missing, and in it events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER.
    /// Throws Error when they cannot be made.
    explicit TensorBoardWriter(const std::filesystem::path& folder,
                               std::optional<std::int64_t> resume_step = std::nullopt) {
        make_output_folder(folder);
        open_new_file(folder);
        detail::ProtobufMessage greeting;
        greeting.fixed(wall_time_field, detail::seconds_since_1970()).bytes(file_version_field, "brain.Event:2");
        write(greeting);
        if (resume_step) {
            detail::ProtobufMessage session;
            session.varint(1, 1); // SessionLog.status = START
            detail::ProtobufMessage event = event_at(*resume_step);
            event.bytes(session_log_field, session.text());
            write(event);
        }
    }
    TensorBoardWriter(TensorBoardWriter&& other) noexcept
        : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
    TensorBoardWriter& operator=(TensorBoardWriter&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~TensorBoardWriter() {
        if (descriptor_ >= 0) {
            ::close(descriptor_);
        }
    }

    /// The event file.
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// A point of the curve `tag` ("train/loss": curves are grouped by what is before the slash). Kept as float32, the
    /// format's type; what is not a number is shown as such. Throws Error for an empty tag or when writing fails.
    void scalar(std::string_view tag, double value, std::int64_t step) { scalars({{tag, value}}, step); }

    /// Points of several curves at one step, in one record.
    void scalars(std::initializer_list<std::pair<std::string_view, double>> points, std::int64_t step) {
        detail::ProtobufMessage summary;
        for (const auto& [tag, value] : points) {
            require(!tag.empty(), "TensorBoardWriter: a curve without a name at step ", step);
            detail::ProtobufMessage point;
            point.bytes(tag_field, tag).fixed(simple_value_field, static_cast<float>(value));
            summary.bytes(value_field, point.text());
        }
        write_summary(summary, step);
    }

    /// A picture: the bytes of a PNG file (encode_png()), with its size in pixels. Throws Error as scalar() does, and
    /// for bytes that are no PNG.
    void picture(std::string_view tag, std::span<const std::byte> png, int height, int width, std::int64_t step) {
        const std::string_view text(reinterpret_cast<const char*>(png.data()), png.size());
        require(!tag.empty(), "TensorBoardWriter: a picture without a name at step ", step);
        require(text.starts_with("\x89PNG\r\n\x1a\n") && height > 0 && width > 0, "TensorBoardWriter: picture \"", tag,
                "\" of ", width, "x", height, " is not a PNG file's bytes");
        detail::ProtobufMessage image;
        image.varint(1, static_cast<std::uint64_t>(height))
            .varint(2, static_cast<std::uint64_t>(width))
            .varint(3, 3) // colour space: RGB
            .bytes(4, text);
        detail::ProtobufMessage value;
        value.bytes(tag_field, tag).bytes(image_field, image.text());
        detail::ProtobufMessage summary;
        summary.bytes(value_field, value.text());
        write_summary(summary, step);
    }

private:
    // Field numbers of Event, Summary and Summary.Value.
    static constexpr int wall_time_field = 1;
    static constexpr int step_field = 2;
    static constexpr int file_version_field = 3;
    static constexpr int summary_field = 5;
    static constexpr int session_log_field = 7;
    static constexpr int value_field = 1;
    static constexpr int tag_field = 1;
    static constexpr int simple_value_field = 2;
    static constexpr int image_field = 4;

    [[nodiscard]] static detail::ProtobufMessage event_at(std::int64_t step) {
        detail::ProtobufMessage event;
        event.fixed(wall_time_field, detail::seconds_since_1970()).varint(step_field, static_cast<std::uint64_t>(step));
        return event;
    }

    void open_new_file(const std::filesystem::path& folder) {
        std::array<char, 256> host{};
        if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') {
            host = {'l', 'o', 'c', 'a', 'l'};
        }
        const auto seconds = static_cast<std::int64_t>(std::floor(detail::seconds_since_1970()));
        int reason = 0;
        // Several writers of one process may begin in the same second.
        for (int number = 0; number < 10000; ++number) {
            path_ =
                folder / concat_text("events.out.tfevents.", seconds, ".", host.data(), ".", ::getpid(), ".", number);
            descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
            reason = errno;
            if (descriptor_ >= 0 || reason != EEXIST) {
                break;
            }
        }
        require(descriptor_ >= 0, "cannot write ", path_.string(), ": ", std::strerror(reason));
    }

    void write_summary(const detail::ProtobufMessage& summary, std::int64_t step) {
        detail::ProtobufMessage event = event_at(step);
        event.bytes(summary_field, summary.text());
        write(event);
    }

    void write(const detail::ProtobufMessage& event) {
        require(descriptor_ >= 0, "TensorBoardWriter: its file was moved away");
        const std::string record = detail::tensorflow_record(event.text());
        std::string_view rest = record;
        while (!rest.empty()) {
            const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
            const int reason = errno;
            if (written < 0 && reason == EINTR) {
                continue;
            }
            require(written > 0, "cannot write ", path_.string(), ": ", std::strerror(reason));
            rest.remove_prefix(static_cast<std::size_t>(written));
        }
    }

    std::filesystem::path path_;
    int descriptor_ = -1;
};

} // namespace reel

#pragma once
// What the fuzz targets share. A target defines LLVMFuzzerTestOneInput, as libFuzzer wants it: any bytes may end in a
// reel::Error, in nothing else. Other exceptions, faults and broken promises end the program.

#include <reel/core/error.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace fuzz {

/// Ends the program unless a promise is kept.
inline void expect(bool kept) {
    if (!kept) {
        std::abort();
    }
}

/// Runs `action`, which may throw reel::Error and nothing else. Its message is one line that a terminal takes as text.
template <class Action>
void attempt(const Action& action) {
    try {
        action();
    } catch (const reel::Error& error) {
        const std::string message = error.what();
        expect(!message.empty() && reel::terminal_text(message) == message);
    }
}

/// A file in memory, for readers that take a path.
class File {
public:
    explicit File(std::string_view content) : descriptor_(::memfd_create("fuzz", MFD_CLOEXEC)) {
        expect(descriptor_ >= 0);
        write(content);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { ::close(descriptor_); }

    [[nodiscard]] std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

private:
    void write(std::string_view content) const {
        while (!content.empty()) {
            const ::ssize_t written = ::write(descriptor_, content.data(), content.size());
            expect(written > 0);
            content.remove_prefix(static_cast<std::size_t>(written));
        }
    }

    int descriptor_;
};

/// A folder of this process, for readers that take one; removed at the end.
class Folder {
public:
    /// `fill(*this)` puts in what is always there.
    template <class Fill>
    explicit Folder(const Fill& fill) {
        std::string name = (std::filesystem::temp_directory_path() / "reel-fuzz-XXXXXX").string();
        expect(::mkdtemp(name.data()) != nullptr);
        path_ = name;
        fill(*this);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    /// Writes a file anew.
    void put(const char* name, std::string_view content) const {
        std::ofstream file(path_ / name, std::ios::binary);
        file.write(content.data(), static_cast<std::streamsize>(content.size()));
        file.close();
        expect(file.good());
    }

private:
    std::filesystem::path path_;
};

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

/// Reads every byte, so that a sanitizer sees bytes that are not there.
inline void touch(std::span<const std::byte> bytes) {
    unsigned sum = 0;
    for (const std::byte byte : bytes) {
        sum += static_cast<unsigned>(byte);
    }
    volatile unsigned sink = sum;
    (void)sink;
}

/// The first byte chooses, the rest is the input.
struct Choice {
    unsigned which;
    std::string_view rest;

    Choice(std::string_view text, unsigned count)
        : which(text.empty() ? 0 : static_cast<unsigned char>(text[0]) % count),
          rest(text.substr(text.empty() ? 0 : 1)) {}
};

} // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

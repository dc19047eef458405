#pragma once
// Zip archives as PyTorch writes them: stored, not compressed; Zip64 for what passes 4 GiB. After PKWARE's APPNOTE.
// Needs zlib (target reel::io) for its CRC-32.

#include <reel/core/error.hpp>
#include <reel/core/ranges.hpp>
#include <reel/io/files/atomic_file.hpp>
#include <reel/io/files/file_kind.hpp>
#include <reel/io/files/mapped_file.hpp>

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace reel {

/// One file of an archive. `bytes` points into the archive's own bytes.
struct ZipEntry {
    std::span<const std::byte> bytes;
    std::uint32_t crc = 0;
    std::uint16_t method = 0; ///< 0 stored; anything else is compressed, and `bytes` are the compressed ones
    bool encrypted = false;
};

/// The files of an archive by their path in it.
using ZipEntries = std::map<std::string, ZipEntry, std::less<>>;

/// CRC-32, as zip archives hold it, of bytes that follow others whose CRC-32 is `before`.
[[nodiscard]] inline std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before = 0) {
    return static_cast<std::uint32_t>(
        ::crc32_z(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

namespace detail {

inline constexpr std::uint32_t zip_local_mark = 0x04034b50;
inline constexpr std::uint32_t zip_central_mark = 0x02014b50;
inline constexpr std::uint32_t zip_end_mark = 0x06054b50;
inline constexpr std::uint32_t zip64_end_mark = 0x06064b50;
inline constexpr std::uint32_t zip64_locator_mark = 0x07064b50;

struct ZipDirectory {
    std::uint64_t offset;
    std::uint64_t size;
    std::uint64_t entries;
};

/// Finds the central directory by the record at the archive's end, and checks that it lies before that record.
[[nodiscard]] inline ZipDirectory find_zip_directory(std::span<const std::byte> file, const std::string& path) {
    constexpr std::size_t end_size = 22;
    constexpr std::size_t longest_comment = 65535;
    require(file.size() >= end_size, path, ": truncated zip archive (", file.size(), " bytes)");
    std::size_t end = file.size() - end_size;
    const std::size_t last = end - std::min(end, longest_comment);
    while (load_little<std::uint32_t>(file, end) != zip_end_mark ||
           load_little<std::uint16_t>(file, end + 20) != file.size() - end_size - end) {
        require(end != last, path, ": truncated or damaged zip archive (no end record)");
        --end;
    }
    ZipDirectory directory{load_little<std::uint32_t>(file, end + 16), load_little<std::uint32_t>(file, end + 12),
                           load_little<std::uint16_t>(file, end + 10)};
    std::uint64_t limit = end;
    if (end >= 20 && load_little<std::uint32_t>(file, end - 20) == zip64_locator_mark) {
        const auto end64 = load_little<std::uint64_t>(file, end - 12);
        require(end64 <= end - 20 && end - 20 - end64 >= 56 &&
                    load_little<std::uint32_t>(file, end64) == zip64_end_mark,
                path, ": damaged zip archive (Zip64 end record)");
        directory = {load_little<std::uint64_t>(file, end64 + 48), load_little<std::uint64_t>(file, end64 + 40),
                     load_little<std::uint64_t>(file, end64 + 32)};
        limit = end64;
    }
    require(directory.offset <= limit && directory.size <= limit - directory.offset, path,
            ": damaged zip archive (its directory would lie outside the file)");
    return directory;
}

/// Replaces those of the three 32-bit numbers that are all ones by the entry's Zip64 extra field.
inline void read_zip64_extra(std::span<const std::byte> extra, std::uint64_t& size, std::uint64_t& packed_size,
                             std::uint64_t& offset, const std::string& path) {
    constexpr std::uint64_t absent = 0xffffffff;
    if (size != absent && packed_size != absent && offset != absent) {
        return;
    }
    while (extra.size() >= 4) {
        const auto id = load_little<std::uint16_t>(extra, 0);
        const auto length = load_little<std::uint16_t>(extra, 2);
        require(length <= extra.size() - 4, path, ": damaged zip archive (extra field)");
        if (id == 1) {
            std::size_t at = 4;
            for (std::uint64_t* value : {&size, &packed_size, &offset}) {
                if (*value == absent) {
                    require(at + 8 <= std::size_t{4} + length, path, ": damaged zip archive (Zip64 field)");
                    *value = load_little<std::uint64_t>(extra, at);
                    at += 8;
                }
            }
            return;
        }
        extra = extra.subspan(std::size_t{4} + length);
    }
    fail(path, ": damaged zip archive (a Zip64 field is missing)");
}

/// Where an entry's header and bytes lie in the file.
struct ZipRange {
    std::uint64_t begin;
    std::uint64_t end;
    std::string_view name;
};

/// No byte may belong to two entries, or a small archive would hold any amount of data.
inline void check_zip_ranges(std::vector<ZipRange> ranges, const std::string& path) {
    ranges::sort(ranges, {}, &ZipRange::begin);
    for (std::size_t i = 1; i < ranges.size(); ++i) {
        require(ranges[i - 1].end <= ranges[i].begin, path, ": damaged zip archive (\"", ranges[i - 1].name,
                "\" and \"", ranges[i].name, "\" overlap)");
    }
}

} // namespace detail

/// Lists a zip archive by its central directory. Every offset and size is checked, and that no entries overlap;
/// checksums are not (see zip_content()). `path` names the archive in the Error thrown for a damaged one.
[[nodiscard]] inline ZipEntries read_zip(std::span<const std::byte> file, const std::string& path) {
    using detail::load_little;
    const detail::ZipDirectory directory = detail::find_zip_directory(file, path);
    std::span<const std::byte> rest = file.subspan(directory.offset, directory.size);
    require(directory.entries <= rest.size() / 46, path, ": damaged zip archive (it announces ", directory.entries,
            " entries in ", rest.size(), " bytes)");
    ZipEntries entries;
    std::vector<detail::ZipRange> ranges;
    ranges.reserve(directory.entries);
    for (std::uint64_t i = 0; i < directory.entries; ++i) {
        require(rest.size() >= 46 && load_little<std::uint32_t>(rest, 0) == detail::zip_central_mark, path,
                ": damaged zip archive (directory entry ", i, ")");
        const std::size_t name_size = load_little<std::uint16_t>(rest, 28);
        const std::size_t extra_size = load_little<std::uint16_t>(rest, 30);
        const std::size_t comment_size = load_little<std::uint16_t>(rest, 32);
        require(rest.size() - 46 >= name_size + extra_size + comment_size, path,
                ": damaged zip archive (directory entry ", i, ")");
        const std::string name(reinterpret_cast<const char*>(rest.data()) + 46, name_size);
        std::uint64_t packed_size = load_little<std::uint32_t>(rest, 20);
        std::uint64_t size = load_little<std::uint32_t>(rest, 24);
        std::uint64_t offset = load_little<std::uint32_t>(rest, 42);
        detail::read_zip64_extra(rest.subspan(46 + name_size, extra_size), size, packed_size, offset, path);

        // The file's bytes begin after its local header, whose own name and extra field may differ in length.
        const std::uint64_t room = directory.offset;
        require(offset <= room && room - offset >= 30 &&
                    load_little<std::uint32_t>(file, offset) == detail::zip_local_mark,
                path, ": damaged zip archive (header of \"", name, "\")");
        const std::uint64_t begin =
            offset + 30 + load_little<std::uint16_t>(file, offset + 26) + load_little<std::uint16_t>(file, offset + 28);
        require(begin <= room && packed_size <= room - begin, path, ": damaged zip archive (\"", name,
                "\" would end outside it)");
        const auto method = load_little<std::uint16_t>(rest, 10);
        require(method != 0 || packed_size == size, path, ": damaged zip archive (sizes of \"", name, "\")");
        const ZipEntry entry{file.subspan(begin, packed_size), load_little<std::uint32_t>(rest, 16), method,
                             (load_little<std::uint16_t>(rest, 8) & 1U) != 0};
        const auto [placed, added] = entries.emplace(name, entry);
        require(added, path, ": damaged zip archive (\"", name, "\" appears twice)");
        ranges.push_back({offset, begin + packed_size, placed->first});
        rest = rest.subspan(46 + name_size + extra_size + comment_size);
    }
    detail::check_zip_ranges(std::move(ranges), path);
    return entries;
}

/// The bytes of a stored entry of an archive that is memory-mapped. Throws Error when there is no such entry, when it
/// is compressed or encrypted, or, with `verify`, when its checksum differs.
[[nodiscard]] inline std::span<const std::byte> zip_content(const ZipEntries& entries, std::string_view name,
                                                            const std::string& path, bool verify = true) {
    const auto found = entries.find(name);
    require(found != entries.end(), path, ": the archive holds no \"", name, "\"");
    const ZipEntry& entry = found->second;
    require(entry.method == 0 && !entry.encrypted, path, ": \"", name, "\" is ",
            entry.encrypted ? "encrypted" : "compressed",
            ", which torch.save never does; load the file in Python and save it again");
    if (verify) {
        std::uint32_t crc = 0;
        for_each_piece(entry.bytes, [&](std::span<const std::byte> piece) { crc = crc32_of(piece, crc); });
        require(crc == entry.crc, path, ": the checksum of \"", name, "\" is wrong: the file is damaged");
    }
    return entry.bytes;
}

/// Writes a zip archive of stored entries, each aligned to 64 bytes as torch.save aligns them. Call add() for each,
/// then finish(). What passes `limit` is written in Zip64 form (only tests give another).
class ZipWriter {
public:
    explicit ZipWriter(const std::filesystem::path& path, std::uint64_t limit = 0xffffffff)
        : file_(path), limit_(limit) {}

    void add(const std::string& name, std::span<const std::byte> bytes) {
        require(name.size() < 1000, file_.path().string(), ": an entry's name is too long");
        const Record record{name, crc32_of(bytes), bytes.size(), offset_};
        const bool wide = record.size >= limit_;
        begin_header(detail::zip_local_mark, wide);
        put_common(record, wide);
        // "FB" is the extra field that torch.save pads with.
        const std::uint64_t before = offset_ + 2 + name.size() + (wide ? 20 : 0) + 4;
        const auto padding = static_cast<std::uint16_t>((64 - before % 64) % 64);
        put(static_cast<std::uint16_t>((wide ? 20 : 0) + 4 + padding));
        put_bytes(std::as_bytes(std::span(name)));
        if (wide) {
            put(std::uint16_t{1});
            put(std::uint16_t{16});
            put(record.size);
            put(record.size);
        }
        put(std::uint16_t{0x4246});
        put(padding);
        put_bytes(std::vector<std::byte>(padding));
        put_bytes(bytes);
        records_.push_back(record);
    }

    void add(const std::string& name, std::string_view text) {
        add(name, std::as_bytes(std::span(text.data(), text.size())));
    }

    /// Writes the directory and commits the file.
    void finish() {
        const std::uint64_t begin = offset_;
        for (const Record& record : records_) {
            put_central(record);
        }
        const std::uint64_t end = offset_;
        const bool wide = records_.size() >= 0xffff || begin >= limit_ || end - begin >= limit_;
        if (wide) {
            put(detail::zip64_end_mark);
            put(std::uint64_t{44}); // bytes that follow
            put(std::uint16_t{45});
            put(std::uint16_t{45});
            put(std::uint64_t{0}); // disk numbers
            put(std::uint64_t{records_.size()});
            put(std::uint64_t{records_.size()});
            put(end - begin);
            put(begin);
            put(detail::zip64_locator_mark);
            put(std::uint32_t{0});
            put(end);
            put(std::uint32_t{1});
        }
        put(detail::zip_end_mark);
        put(std::uint32_t{0});
        const auto count = wide ? std::uint16_t{0xffff} : static_cast<std::uint16_t>(records_.size());
        put(count);
        put(count);
        put(wide ? ~std::uint32_t{0} : static_cast<std::uint32_t>(end - begin));
        put(wide ? ~std::uint32_t{0} : static_cast<std::uint32_t>(begin));
        put(std::uint16_t{0});
        file_.commit();
    }

private:
    struct Record {
        std::string name;
        std::uint32_t crc;
        std::uint64_t size;
        std::uint64_t offset;
    };

    template <class T>
    void put(T value) {
        static_assert(std::is_unsigned_v<T>);
        put_bytes(std::as_bytes(std::span(&value, 1)));
    }

    void put_bytes(std::span<const std::byte> bytes) {
        file_.write(bytes);
        offset_ += bytes.size();
    }

    void begin_header(std::uint32_t mark, bool wide) {
        put(mark);
        if (mark == detail::zip_central_mark) {
            put(std::uint16_t{45}); // made by
        }
        put(static_cast<std::uint16_t>(wide ? 45 : 20)); // version needed to read it
    }

    /// The part that local and central headers share.
    void put_common(const Record& record, bool wide) {
        put(std::uint16_t{0x800}); // names are UTF-8
        put(std::uint16_t{0});     // stored
        put(std::uint16_t{0});     // time and date: 1 January 1980, so that equal content gives equal files
        put(std::uint16_t{0x21});
        put(record.crc);
        const auto size = wide ? ~std::uint32_t{0} : static_cast<std::uint32_t>(record.size);
        put(size);
        put(size);
        put(static_cast<std::uint16_t>(record.name.size()));
    }

    void put_central(const Record& record) {
        const bool wide = record.size >= limit_ || record.offset >= limit_;
        begin_header(detail::zip_central_mark, wide);
        put_common(record, wide);
        put(static_cast<std::uint16_t>(wide ? 28 : 0));
        put(std::uint16_t{0}); // comment
        put(std::uint16_t{0}); // disk
        put(std::uint16_t{0}); // attributes
        put(std::uint32_t{0});
        put(wide ? ~std::uint32_t{0} : static_cast<std::uint32_t>(record.offset));
        put_bytes(std::as_bytes(std::span(record.name)));
        if (wide) {
            put(std::uint16_t{1});
            put(std::uint16_t{24});
            put(record.size);
            put(record.size);
            put(record.offset);
        }
    }

    AtomicFile file_;
    std::uint64_t limit_;
    std::uint64_t offset_ = 0;
    std::vector<Record> records_;
};

} // namespace reel

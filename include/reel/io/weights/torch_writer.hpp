#pragma once
// Files that Python's torch.load reads, weights_only=True included. Needs zlib (target reel::io).

#include <reel/core/error.hpp>
#include <reel/io/weights/host_tensor.hpp>
#include <reel/io/weights/torch_tensors.hpp>
#include <reel/io/weights/zip.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reel {

namespace detail {

/// Builds the pickle of a checkpoint, in protocol 2, which torch.load requires.
class TorchPickle {
public:
    TorchPickle() { put("\x80\x02"); }

    void put(std::string_view bytes) { bytes_ += bytes; }

    template <class T>
    void put_little(T value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }

    void put_text(std::string_view text) {
        put("X");
        put_little(static_cast<std::uint32_t>(text.size()));
        put(text);
    }

    void put_integer(std::int64_t value) {
        if (value >= 0 && value <= INT32_MAX) {
            put("J");
            put_little(static_cast<std::int32_t>(value));
        } else {
            put("\x8a\x08");
            put_little(value);
        }
    }

    void put_integers(std::span<const std::int64_t> values) {
        put("(");
        for (const std::int64_t value : values) {
            put_integer(value);
        }
        put("t");
    }

    void put_ordered_dict() { put("ccollections\nOrderedDict\n)R"); }

    /// A call of _rebuild_tensor_v2 on the storage of that key: dense, without gradient.
    void put_tensor(const TensorSource& source, const std::string& key) {
        const std::size_t count = checked_element_count(source.shape, size_of(source.dtype));
        put("ctorch._utils\n_rebuild_tensor_v2\n((");
        put_text("storage");
        const auto* type = std::find_if(torch_storage_types.begin(), torch_storage_types.end(),
                                        [&](const TorchStorageType& item) { return item.dtype == source.dtype; });
        const std::string_view name = type->global.substr(std::string_view("torch.").size());
        put("ctorch\n");
        put(name);
        put("\n");
        put_text(key);
        put_text("cpu");
        put_integer(static_cast<std::int64_t>(count));
        put("tQ");
        put_integer(0);
        put_integers(source.shape);
        std::vector<std::int64_t> strides(source.shape.size(), 1);
        for (std::size_t i = strides.size(); i-- > 1;) {
            strides[i - 1] = strides[i] * std::max<std::int64_t>(source.shape[i], 1);
        }
        put_integers(strides);
        put("\x89"); // requires_grad
        put_ordered_dict();
        put("tR");
    }

    [[nodiscard]] const std::string& bytes() const { return bytes_; }

private:
    std::string bytes_;
};

/// The archive around a pickle whose storages are the sources, in order.
template <class = void>
void write_torch_archive(const std::filesystem::path& path, const TorchPickle& pickle,
                         const std::vector<TensorSource>& sources, std::uint64_t zip_limit) {
    ZipWriter archive(path, zip_limit);
    archive.add("archive/data.pkl", pickle.bytes());
    archive.add("archive/byteorder", "little");
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const HostTensor tensor = load_announced(sources[i], path.string());
        archive.add(concat_text("archive/data/", i), tensor.bytes());
        tensor.drop_pages();
    }
    archive.add("archive/version", "3\n");
    archive.finish();
}

} // namespace detail

/// Writes a state dict, in the order given, asking for one tensor at a time. Throws Error on a repeated name and when
/// the file cannot be written; then nothing is left behind. With `under` the file holds {under: state dict}, as
/// training programs write it. `zip_limit` is for tests: see ZipWriter.
template <class = void>
void write_torch_checkpoint(const std::filesystem::path& path, const std::vector<TensorSource>& sources,
                            std::uint64_t zip_limit = 0xffffffff, std::string_view under = {}) {
    detail::TorchPickle pickle;
    if (!under.empty()) {
        pickle.put("}");
        pickle.put_text(under);
    }
    pickle.put_ordered_dict();
    pickle.put("(");
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        require(names.insert(sources[i].name).second, path.string(), ": two tensors named \"", sources[i].name, "\"");
        pickle.put_text(sources[i].name);
        pickle.put_tensor(sources[i], std::to_string(i));
    }
    pickle.put(under.empty() ? "u." : "us.");
    detail::write_torch_archive(path, pickle, sources, zip_limit);
}

/// Writes a state dict that is in memory, in order of name; see above.
template <class = void>
void write_torch_checkpoint(const std::filesystem::path& path, const StateDict& tensors) {
    write_torch_checkpoint(path, tensor_sources(tensors));
}

/// Writes one bare tensor, as torch.save(tensor, path) does: an inverted latent, for example.
template <class = void>
void write_torch_tensor(const std::filesystem::path& path, const HostTensor& tensor) {
    const TensorSource source{"", tensor.dtype, tensor.shape, [tensor] { return tensor; }};
    detail::TorchPickle pickle;
    pickle.put_tensor(source, "0");
    pickle.put(".");
    detail::write_torch_archive(path, pickle, {source}, 0xffffffff);
}

} // namespace reel

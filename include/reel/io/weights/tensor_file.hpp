#pragma once
// Tensors by name, in a file of the kind that its name ends with: .npz for NumPy's archives, .npy for one array without
// a name, else safetensors. Needs nlohmann-json and zlib (target reel::io).

#include <filesystem>
#include <memory>
#include <string>

#include <reel/io/files/atomic_file.hpp>
#include <reel/io/weights/npy.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/zip.hpp>

namespace reel {

/// Reads what numpy.savez writes: a zip archive of NAME.npy, stored. The tensors point into a memory map that they keep
/// alive. Throws Error, which names the file, for anything else, and for what numpy.savez_compressed writes.
template <class = void>
[[nodiscard]] StateDict read_npz(const std::filesystem::path& path) {
    const auto file = std::make_shared<const MappedFile>(path);
    refuse_placeholder(file->bytes(), file->path());
    require(file_kind(file->bytes()) == FileKind::torch_zip, file->path(), ": not an archive of numpy's (.npz)");
    StateDict tensors;
    const ZipEntries entries = read_zip(file->bytes(), file->path());
    for (const auto& [name, entry] : entries) {
        require(name.ends_with(".npy"), file->path(), ": holds \"", name, "\"; expected arrays, NAME.npy");
        require(entry.method == 0, file->path(), ": \"", name,
                "\" is compressed; write the file with numpy.savez, not savez_compressed");
        tensors.emplace(name.substr(0, name.size() - 4),
                        read_npy(zip_content(entries, name, file->path()), file, file->path() + ": " + name));
    }
    require(!tensors.empty(), file->path(), ": holds no arrays");
    return tensors;
}

/// Reads a file of tensors; see above. Of a .npy the name is "".
template <class = void>
[[nodiscard]] StateDict read_tensors(const std::filesystem::path& path) {
    if (path.extension() == ".npz") {
        return read_npz(path);
    }
    if (path.extension() == ".npy") {
        const auto file = std::make_shared<const MappedFile>(path);
        refuse_placeholder(file->bytes(), file->path());
        return {{"", read_npy(file->bytes(), file, file->path())}};
    }
    return read_safetensors(path);
}

/// Writes tensors; see above. Nothing is there until all is. In numpy's archives bfloat16 becomes float32. Throws Error
/// for several in a .npy.
template <class = void>
void write_tensors(const std::filesystem::path& path, const StateDict& tensors) {
    if (path.extension() == ".npz") {
        ZipWriter archive(path);
        for (const auto& [name, tensor] : tensors) {
            archive.add(name + ".npy", npy_bytes(tensor));
        }
        archive.finish();
    } else if (path.extension() == ".npy") {
        require(tensors.size() == 1, path.string(), ": one array fits into a .npy, not ", tensors.size(),
                "; name it .npz or .safetensors");
        AtomicFile file(path);
        file.write(npy_bytes(tensors.begin()->second));
        file.commit();
    } else {
        write_safetensors(path, tensors, {{"format", "pt"}});
    }
}

} // namespace reel

// state.json of a checkpoint beside one other file, and a file of remembered digests, as the first byte chooses.

#include "fuzz/fuzz.hpp"

#include <cstdio>
#include <fstream>

#include <reel/io/records/checkpoint_state.hpp>
#include <reel/io/records/digests.hpp>

namespace {

/// A folder of this process, removed when it ends.
class Folder {
public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "reel-fuzz-XXXXXX").string();
        fuzz::expect(::mkdtemp(name.data()) != nullptr);
        path_ = name;
        put("weights", "weights");
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

    void put(const char* name, std::string_view content) const {
        std::ofstream file(path_ / name, std::ios::binary);
        file.write(content.data(), static_cast<std::streamsize>(content.size()));
        file.close();
        fuzz::expect(file.good());
    }

private:
    std::filesystem::path path_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Folder folder;
    const fuzz::Choice choice(fuzz::text_of(data, size), 2);
    if (choice.which == 0) {
        folder.put("state.json", choice.rest);
        fuzz::attempt([&] {
            const nlohmann::json state = reel::read_checkpoint_state(folder.path());
            fuzz::expect(state.at("step").is_number_integer() && state.at("options").is_object());
            reel::check_checkpoint_files(folder.path(), state);
        });
    } else {
        // Whatever the file says of other files, a digest is the right one.
        const fuzz::File remembered(choice.rest);
        static const std::string digest = reel::sha256_file(folder.path() / "weights");
        fuzz::attempt([&] {
            reel::RememberedDigests digests(remembered.path());
            fuzz::expect(digests.of(folder.path() / "weights") == digest);
        });
    }
    return 0;
}

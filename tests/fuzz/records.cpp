// state.json of a checkpoint beside one other file, and a file of remembered digests, as the first byte chooses.

#include "fuzz/fuzz.hpp"

#include <reel/io/records/checkpoint_state.hpp>
#include <reel/io/records/digests.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::Folder folder([](const fuzz::Folder& made) { made.put("weights", "weights"); });
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

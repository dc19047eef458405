// fickling's pickles: those that slipped past its checks once, those that crashed it, and those that expand. reel
// executes nothing whatever a pickle says; each must be refused in one sentence or read as data, soon, and within
// bounds.

#include <doctest/doctest.h>

#include <algorithm>
#include <ctime>
#include <string>

#include <reel/io/weights/torch_checkpoint.hpp>

#include "io/temporary_folder.hpp"
#include "peers.hpp"

using namespace reel;

TEST_CASE("fickling's pickles are refused or read as data") {
    const reel_test::TemporaryFolder folder;
    const auto file = folder.path() / "x.pt";
    std::size_t pickles = 0;
    std::size_t refused = 0;
    std::size_t read = 0;
    for (const auto& entry : std::filesystem::directory_iterator(peers::suite("fickling") / "cases")) {
        const std::string pickle = reel_test::read_text(entry.path());
        CAPTURE(entry.path().filename().string());
        ++pickles;
        for (const bool zip : {false, true}) {
            std::filesystem::remove(file);
            if (zip) {
                ZipWriter archive(file);
                archive.add("x/data.pkl", std::as_bytes(std::span(pickle)));
                archive.finish();
            } else {
                reel_test::put_text(file, pickle);
            }
            for (const auto objects : {TorchObjects::refuse, TorchObjects::skip}) {
                CAPTURE(zip);
                CAPTURE((objects == TorchObjects::skip));
                const std::clock_t begin = std::clock();
                std::string message;
                try {
                    const auto checkpoint = read_torch_checkpoint(file, false, objects);
                    CHECK(checkpoint.tensors.empty()); // they hold none
                    ++read;
                } catch (const Error& error) {
                    message = error.what();
                    ++refused;
                    CHECK(message.starts_with(file.string()));
                    CHECK(message.size() < file.string().size() + 500);
                    CHECK(std::none_of(message.begin(), message.end(),
                                       [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
                }
                CAPTURE(message);
                CHECK((std::clock() - begin) / CLOCKS_PER_SEC < 10); // seconds of the processor
            }
        }
    }
    MESSAGE(pickles, " pickles, each read in four ways: ", refused, " refused, ", read, " read");
    CHECK(pickles == 103);
}

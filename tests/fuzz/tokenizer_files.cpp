// One file of a tokenizer's folder, as the first byte chooses; the others are right.

#include "fuzz/fuzz.hpp"
#include "text/tokenizer_folder.hpp"

#include <reel/text/clip_tokenizer.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const reel::test::TemporaryFolder folder;
    static const std::string merges = "#version: 0.2\nt h\nth e</w>\n";
    static const std::string vocabulary = reel::test::vocabulary_of(merges).dump();
    constexpr const char* names[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
                                     "tokenizer.json"};
    const fuzz::Choice choice(fuzz::text_of(data, size), std::size(names));
    reel::test::write_settings(folder, "!");
    folder.write("vocab.json", vocabulary);
    folder.write("merges.txt", merges);
    std::filesystem::remove(folder.path() / "tokenizer.json");
    if (choice.which == 4) {
        std::filesystem::remove(folder.path() / "vocab.json");
    }
    folder.write(names[choice.which], choice.rest);
    fuzz::attempt([&] {
        const auto tokenizer = reel::CLIPTokenizer::from_pretrained(folder.path());
        fuzz::expect(tokenizer.encode("the cat 12!").size() == tokenizer.max_length());
    });
    return 0;
}

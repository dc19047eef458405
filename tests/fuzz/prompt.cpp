// A prompt, cleaned and encoded by a small vocabulary, both ways of cleaning.

#include "fuzz/fuzz.hpp"
#include "text/tokenizer_folder.hpp"

#include <reel/text/clip_tokenizer.hpp>

namespace {

struct Tokenizers {
    Tokenizers() { reel::test::write_folder(folder, "#version: 0.2\nt h\nth e</w>\n1 2\n! !</w>\n", "!"); }
    reel::test::TemporaryFolder folder;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Tokenizers files;
    static const auto ftfy = reel::CLIPTokenizer::from_pretrained(files.folder.path());
    static const auto later =
        reel::CLIPTokenizer::from_pretrained(files.folder.path(), 0, reel::TextCleaning::transformers5);
    const std::string_view prompt = fuzz::text_of(data, size);
    for (const reel::CLIPTokenizer* tokenizer : {&ftfy, &later}) {
        fuzz::attempt([&] {
            const reel::Encoding encoding = tokenizer->encode_with_details(prompt);
            fuzz::expect(encoding.ids.size() == tokenizer->max_length());
            (void)tokenizer->decode(tokenizer->token_ids(prompt));
        });
    }
    fuzz::attempt([&] {
        const std::string fixed = reel::text::fix_text(prompt);
        fuzz::expect(fixed.size() <= 8 * prompt.size() + 16);
    });
    return 0;
}

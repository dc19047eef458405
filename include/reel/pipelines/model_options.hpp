#pragma once
// Where parts of a model are that --model does not have, and how prompts are read: options of every program that loads
// a model.

#include <array>
#include <string>
#include <vector>

#include <reel/core/options.hpp>
#include <reel/text/prompt_syntax.hpp>

namespace reel {

/// What stands beside --model. Empty: the model's own.
struct ModelOptions {
    std::string vae{};
    std::string unet{};
    std::string text_encoder{};
    std::string tokenizer{};
    std::string variant{};
    std::string prediction_type{};
    std::vector<std::string> embedding{}; ///< FILE or FILE:TOKEN
    int clip_skip = 0;
    PromptSyntax prompt_syntax = PromptSyntax::plain;

    template <class Self, class Visit>
    static void options(Self& self, const Visit& visit) {
        visit(Option{"vae",
                     "another autoencoder, a tiny one (TAESD) too: a folder, or a .safetensors, .ckpt or .pth file"},
              self.vae);
        visit(Option{"unet", "another UNet: a folder or a file"}, self.unet);
        visit(Option{"text_encoder", "another text encoder: a folder or a file"}, self.text_encoder);
        visit(Option{"tokenizer", "another tokenizer, which a model in one file needs: a folder, tokenizer.json, or "
                                  "CLIP's bpe_simple_vocab_16e6.txt.gz"},
              self.tokenizer);
        visit(Option{"variant", "of a folder's weights: fp16 for model.fp16.safetensors"}, self.variant);
        visit(Option{"prediction_type", "what the UNet of a single file predicts, where the file does not say: epsilon "
                                        "or v_prediction"},
              self.prediction_type);
        visit(Option{"embedding", "file of textual inversion, or FILE:TOKEN; may be given more than once"},
              self.embedding);
        visit(
            Option{"clip_skip", "layers of the text encoder to leave out at its end, as in diffusers", from_to(0, 24)},
            self.clip_skip);
        visit(Option{"prompt_syntax", "plain, or a1111: (word:1.2), (word) and [word] weigh words"},
              self.prompt_syntax);
    }

    /// Throws Error for a name that is none.
    void check(const KeyLocator& locate) const {
        require(prediction_type.empty() || prediction_type == "epsilon" || prediction_type == "v_prediction",
                locate("prediction_type"), ": expected epsilon or v_prediction, found \"", prediction_type, "\"");
    }
};

} // namespace reel

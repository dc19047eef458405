#pragma once
// Which LoRA files, and how strongly. Needs no library.

#include <reel/core/error.hpp>
#include <reel/core/number_text.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace reel {

/// A LoRA to merge, and how strongly.
struct LoraUse {
    std::filesystem::path file;
    double scale = 1;
};

/// "FILE" or "FILE:SCALE". What follows the last colon is a scale where it is a number, else part of the name. Throws
/// Error, which starts with `where`, without a file and for a scale that is not finite.
[[nodiscard]] inline LoraUse lora_use(std::string_view text, std::string_view where = "LoRA") {
    LoraUse use{std::filesystem::path(text)};
    if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
        const std::string_view number = text.substr(colon + 1);
        double scale = 0;
        const auto [end, error] = read_number(number, scale);
        if (!number.empty() && end == number.data() + number.size()) {
            require(error == std::errc{} && std::isfinite(scale), where, ": the scale \"", number,
                    "\" is not a finite number");
            use = {std::filesystem::path(text.substr(0, colon)), scale};
        }
    }
    require(!use.file.empty(), where, ": expected FILE or FILE:SCALE, found \"", text, "\"");
    return use;
}

/// The LoRAs of a model.
struct LoraChoice {
    std::vector<LoraUse> uses{};
    bool partial = false; ///< tensors that are of no layer of the model are left out
};

/// What was merged of a file.
struct LoraReport {
    LoraUse use;
    std::size_t tensors = 0;           ///< in the file
    std::vector<std::string> unused{}; ///< names of those that were left out

    /// "lora FILE: used 264 of 264 tensors, scale 0.8"
    [[nodiscard]] std::string text() const {
        return concat_text("lora ", use.file.string(), ": used ", tensors - unused.size(), " of ", tensors,
                           " tensors, scale ", use.scale);
    }
};

} // namespace reel

// YAML, alone and as a tuning's configuration.

#include "fuzz/fuzz.hpp"

#include <reel/pipelines/tune_config_file.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    fuzz::attempt([&] { (void)reel::parse_tune_config(reel::parse_yaml(text, "fuzz"), "fuzz"); });
    return 0;
}

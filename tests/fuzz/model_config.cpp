// config.json of a UNet, an autoencoder or a text encoder, as the first byte chooses.

#include "fuzz/fuzz.hpp"

#include <reel/models/configs.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const fuzz::Choice choice(fuzz::text_of(data, size), 3);
    fuzz::attempt([&] {
        reel::ConfigReader reader(reel::parse_json(choice.rest, "fuzz"), "fuzz");
        switch (choice.which) {
        case 0:
            (void)reel::write_unet_config(reel::read_unet_config(std::move(reader)));
            break;
        case 1:
            (void)reel::read_autoencoder_kl_config(std::move(reader));
            break;
        default:
            (void)reel::read_clip_text_config(std::move(reader));
        }
    });
    return 0;
}

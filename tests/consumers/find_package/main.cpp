// One call into each library that reel's components need. The argument is a path to write under.

#include <reel/io/config/yaml.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/gif.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/text/fix_text.hpp>

#include <exception>
#include <iostream>

int main(int argc, char** argv) {
    try {
        reel::require(argc == 2, "usage: consumer PATH");
        const std::string path = argv[1];
        const reel::Frames clip = reel::make_frames(2, 16, 16, 10);
        reel::write_gif(path + ".gif", clip, 10);
        reel::require(reel::read_video(path + ".gif").count == 2, "the GIF does not hold two frames");
        reel::write_png(path + ".png", clip);
        reel::write_safetensors(path + ".safetensors", reel::StateDict{});
        reel::require(reel::read_safetensors(path + ".safetensors").empty(), "the weights file is not empty");
        reel::require(reel::text::fix_text("a").size() == 1, "text is not left alone");
        reel::require(reel::parse_yaml("a: 1", "text").find("a") != nullptr, "YAML is not read");
    } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        return 1;
    }
    return 0;
}

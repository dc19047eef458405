#include "unet_gradients.hpp"

using namespace reel_test;

// What golden files hold in float32 is itself rounded by up to 6e-8.

TEST_CASE("every block of the inflated UNet agrees with PyTorch, double") {
    check_blocks<double>(2e-7);
}

TEST_CASE("the whole inflated UNet agrees with PyTorch, double") {
    check_whole_unet<double>(1e-7);
}

TEST_CASE("class embeddings agree with PyTorch, double") {
    check_class_embeddings<double>(1e-7);
}

TEST_CASE("a fresh inflation agrees with PyTorch, double") {
    check_fresh_inflation<double>(1e-7);
}

TEST_CASE("a UNet that Tune-A-Video tuned agrees with PyTorch, double") {
    check_tuned_folder<double>(1e-7);
}

TEST_CASE("clips of a batch do not see each other, double") {
    check_clips_are_independent<double>();
}

TEST_CASE("every clip has its own timestep, double") {
    check_timestep_per_clip<double>();
}

TEST_CASE("gradients agree with PyTorch in every checkpointing mode, double") {
    check_gradients<double>(2e-7);
}

TEST_CASE("gradients of all parameters and inputs agree with PyTorch, double") {
    check_all_gradients<double>(2e-7);
}

TEST_CASE("gradients agree with finite differences") {
    check_finite_differences("sd1");
    check_finite_differences("sd2");
}

TEST_CASE("five AdamW steps agree with PyTorch, double") {
    check_adamw<double>(2e-7);
}

#include "unet_gradients.hpp"

using namespace reel_test;

TEST_CASE("every block of the inflated UNet agrees with PyTorch, float") {
    check_blocks<float>(1e-5);
}

TEST_CASE("the whole inflated UNet agrees with PyTorch, float") {
    check_whole_unet<float>(1e-4);
}

TEST_CASE("class embeddings agree with PyTorch, float") {
    check_class_embeddings<float>(1e-4);
}

TEST_CASE("a fresh inflation agrees with PyTorch, float") {
    check_fresh_inflation<float>(1e-4);
}

TEST_CASE("a UNet that Tune-A-Video tuned agrees with PyTorch, float") {
    check_tuned_folder<float>(1e-4);
}

TEST_CASE("clips of a batch do not see each other, float") {
    check_clips_are_independent<float>();
}

TEST_CASE("every clip has its own timestep, float") {
    check_timestep_per_clip<float>();
}

TEST_CASE("inputs of other shapes are refused") {
    check_unet_errors<float>();
}

TEST_CASE("gradients agree with PyTorch in every checkpointing mode, float") {
    check_gradients<float>(1e-4);
}

TEST_CASE("gradients of all parameters and inputs agree with PyTorch, float") {
    check_all_gradients<float>(1e-4);
}

TEST_CASE("five AdamW steps agree with PyTorch, float") {
    check_adamw<float>(1e-4);
}

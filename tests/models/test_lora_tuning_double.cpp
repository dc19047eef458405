#include "lora_tuning.hpp"

using namespace reel_test;

TEST_CASE("gradients of a LoRA's factors agree with PEFT's, double") {
    check_lora_gradients<double>(2e-7);
}

TEST_CASE("five AdamW steps of a LoRA agree with PEFT's, double") {
    check_lora_steps<double>(2e-7);
}

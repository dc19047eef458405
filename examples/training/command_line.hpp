#pragma once
// The command line of a training from nothing.

#include <CLI/CLI.hpp>

#include <reel/text/bpe_learning.hpp>

#include "options.hpp"
#include "training_options.hpp"
#include "world/world.hpp"

namespace training {

/// Puts the options on the command line.
inline void add_options(CLI::App& app, Options& options) {
    const auto at_least = [](double least) { return CLI::Range(least, 1e12); };
    app.add_option("--output", options.output, "folder to write into")->required();
    CLI::Option* data = app.add_option(
        "--data", options.data, "folder of pictures with metadata.jsonl (file_name, text); none: the drawn world");
    app.add_option("--acts", options.acts,
                   "acts of the drawn world that text encoder and UNet are trained on, each as often as it is named: "
                   "swinging,swinging,sitting; none: all four, equally often")
        ->delimiter(',')
        ->check(CLI::IsMember(world::words<world::Act>()))
        ->excludes(data);
    app.add_option("--resolution", options.resolution, "side of the pictures, pixels")->check(CLI::Range(16, 1024));
    app.add_option("--seed", options.seed, "of everything random")->check(program::not_negative);
    app.add_option("--threads", options.threads, "0: one per core")->check(CLI::Range(0, 1024));
    app.add_option("--backend", options.backend, "where the networks run: cpu, or cuda for an NVIDIA GPU")
        ->check(CLI::IsMember({"cpu", "cuda"}));
    app.add_option("--mixed_precision", options.mixed_precision,
                   "bf16: factors of products in bfloat16, where the GPU, or oneDNN and the processor, have it")
        ->check(CLI::IsMember({"no", "bf16"}));
    CLI::Option* resume = app.add_flag("--resume", options.resume, "continue from the last checkpoints in OUTPUT");
    app.add_flag(
           "--extend", options.extend,
           "with --resume: take another number of steps or of falling ones, or other --acts, from the checkpoint on")
        ->needs(resume);
    app.add_option("--checkpointing_steps", options.checkpointing_steps, "checkpoint after every so many steps")
        ->check(at_least(1));
    app.add_option("--validation_steps", options.validation_steps, "held-out loss after every so many steps")
        ->check(at_least(1));
    app.add_option("--sample_steps", options.sample_steps, "sample sheet and model after every so many steps")
        ->check(at_least(1));

    app.add_option("--vae_channels", options.vae_channels, "channels per level; every level but one halves")
        ->delimiter(',')
        ->check(at_least(1))
        ->expected(1, 8);
    app.add_option("--latent_channels", options.latent_channels, "of the autoencoder")->check(at_least(1));
    app.add_option("--vae_groups", options.vae_groups, "groups of its norms")->check(at_least(1));
    app.add_option("--vae_steps", options.vae.max_train_steps, "updates of the autoencoder")->check(at_least(1));
    app.add_option("--vae_batch_size", options.vae_batch_size, "pictures per update")->check(at_least(1));
    app.add_option("--vae_learning_rate", options.vae.learning_rate, "after the warm-up")->check(at_least(0));
    app.add_option("--vae_decay_steps", options.vae.lr_decay_steps, "the rate falls to 0 over the last so many")
        ->check(at_least(0));
    app.add_option("--kl_weight", options.kl_weight, "of the divergence (nats per latent)")->check(at_least(0));

    app.add_option("--vocab_size", options.vocab_size, "of the BPE vocabulary that is learned from the captions")
        ->check(CLI::Range(reel::smallest_bpe_vocabulary, reel::largest_bpe_vocabulary));
    app.add_option("--model_max_length", options.model_max_length, "tokens of a caption, start and end included")
        ->check(CLI::Range(3, 1024));
    app.add_option("--text_width", options.text_width, "channels of the text encoder")->check(at_least(1));
    app.add_option("--text_layers", options.text_layers, "layers of the text encoder")->check(at_least(1));
    app.add_option("--text_heads", options.text_heads, "heads of the text encoder")->check(at_least(1));
    app.add_option("--unet_channels", options.unet_channels, "channels per level of the UNet")
        ->delimiter(',')
        ->check(at_least(1))
        ->expected(1, 16);
    app.add_option("--unet_attention", options.unet_attention, "1 for the levels with attention")
        ->delimiter(',')
        ->check(CLI::Range(0, 1))
        ->expected(1, 16);
    app.add_option("--unet_layers", options.unet_layers, "layers per block of the UNet")->check(at_least(1));
    app.add_option("--unet_heads", options.unet_heads, "attention heads of the UNet")->check(at_least(1));
    app.add_option("--unet_groups", options.unet_groups, "groups of its norms")->check(at_least(1));
    app.add_option("--prediction_type", options.prediction_type, "what the UNet predicts")
        ->check(CLI::IsMember({"epsilon", "v_prediction", "sample"}));
    app.add_option("--max_train_steps", options.unet.max_train_steps, "updates of text encoder and UNet")
        ->check(at_least(0));
    app.add_option("--train_batch_size", options.train_batch_size, "pictures per update")->check(at_least(1));
    app.add_option("--learning_rate", options.unet.learning_rate, "after the warm-up")->check(at_least(0));
    app.add_option("--lr_warmup_steps", options.unet.lr_warmup_steps, "rising to it")->check(at_least(0));
    app.add_option("--lr_decay_steps", options.unet.lr_decay_steps, "falling to 0 over the last so many steps")
        ->check(at_least(0));
    app.add_option("--adam_weight_decay", options.unet.adam_weight_decay, "of text encoder and UNet")
        ->check(at_least(0));
    app.add_option("--max_grad_norm", options.unet.max_grad_norm, "gradients are clipped to this norm")
        ->check(CLI::PositiveNumber);
    app.add_option("--ema_decay", options.unet.ema_decay, "of the averages that are saved")
        ->check(CLI::Range(0.0, 0.999999));
    app.add_option("--snr_gamma", options.snr_gamma, "min-SNR weighting; 0: none")->check(at_least(0));
    app.add_option("--proportion_empty_prompts", options.proportion_empty_prompts, "captions left out")
        ->check(CLI::Range(0.0, 1.0));
}

} // namespace training

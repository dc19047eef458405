// A whole study in one command: objects x clips x captions x samplers x seeds, and whatever else is varied, from one
// manifest. May be stopped at any time and started again, also several times at once.

#include <filesystem>
#include <string>
#include <utility>

#include "options.hpp"
#include "runner.hpp"

int main(int argc, char** argv) {
    return program::run("run_study", [&] {
        std::string manifest;
        std::string output;
        std::string model;
        std::string mixed_precision;
        std::string backend = "cpu";
        study::RunSettings settings;
        reel::LoraOptions lora;
        CLI::App app("Runs a study: every object, clip, caption, sampler, seed and varied option of a manifest. Each\n"
                     "clip is tuned and inverted once, every edit sampled from it. Writes a folder for every cell,\n"
                     "summary.csv, summary.md and report.html. Start it again to go on where it was stopped; start it\n"
                     "several times, on several machines that share the folder, to share the work.");
        app.get_formatter()->column_width(38);
        app.option_defaults()->always_capture_default();
        app.add_option("manifest", manifest, "YAML file; see docs/study.md")->required();
        app.add_option("--output", output, "folder to write to [the manifest's, or out/ and its name]");
        app.add_option("--model", model,
                       "diffusers folder, or .safetensors or .ckpt file [the manifest's, or the one that comes with "
                       "reel]");
        program::add_options(app, settings.parts);
        program::add_options(app, lora);
        app.add_option("--mixed_precision", mixed_precision,
                       "no, bf16 or fp16: of frozen weights and activations [the manifest's, or no]")
            ->check(CLI::IsMember({"", "no", "bf16", "fp16"}));
        app.add_option("--backend", backend, "where the networks run: cpu, or cuda for an NVIDIA GPU")
            ->check(CLI::IsMember({"cpu", "cuda"}));
        app.add_option("--clip_model", settings.clip_model, "folder of a whole CLIP, for its measures");
        app.add_option("--threads", settings.threads, "0: one per core")->check(CLI::Range(0, 1024));
        app.add_option("--preview_every", settings.preview_every, "write a small GIF every so many steps; 0: do not")
            ->check(CLI::Range(0, 1000000));
        app.add_option("--patience", settings.patience,
                       "seconds after which a silent process of another machine is dead")
            ->check(CLI::Range(1.0, 1e6));
        app.add_flag("--allow_nonfinite", settings.allow_nonfinite, "go on where latents hold Inf or NaN");
        app.add_flag("--retry_failed", settings.retry_failed, "try again what failed before");
        app.add_flag("--plan", settings.plan, "only say what would be done");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        program::check(settings.parts);
        study::Study study = study::read_manifest(manifest);
        if (!output.empty() || study.output.empty()) {
            study.output = output.empty() ? std::filesystem::path("out") / std::filesystem::path(manifest).stem()
                                          : std::filesystem::path(output);
        }
        if (!model.empty()) {
            study.model = model;
        }
        if (!lora.lora.empty()) { // in place of the manifest's
            study.lora.lora = lora.lora;
        }
        study.lora.lora_partial = study.lora.lora_partial || lora.lora_partial;
        if (!mixed_precision.empty()) {
            study.mixed_precision = reel::choice_of<reel::MixedPrecision>(mixed_precision, "--mixed_precision");
        }
        settings.backend = reel::choice_of<reel::BackendKind>(backend, "--backend");
        return study::Runner(settings, std::move(study)).run();
    });
}

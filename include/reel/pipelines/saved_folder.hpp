#pragma once
// Folders that hold a tuned model or the state of a training run. Needs reel::io.

#include <filesystem>

#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/records/checkpoint_state.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/optim/adamw_8bit_state.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/reference_folder.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/ddim.hpp>

namespace reel {

/// Saves a tuned model as Tune-A-Video does: a whole diffusers folder, with the UNet inflated
/// (unet/diffusion_pytorch_model.bin), the scheduler that inversion and sampling use, and the other parts of the folder
/// it came from as diffusers 0.11.1 loads them (copy_part_for_reference()).
template <Module Unet>
void save_tuned_pipeline(const Unet& unet, const std::filesystem::path& source, const std::filesystem::path& output) {
    make_output_folder(output);
    require_other_folder(output, source);
    for (const char* part : {"tokenizer", "text_encoder", "vae"}) {
        AtomicFolder folder(output / part);
        copy_part_for_reference(part, source / part, folder.path());
        folder.commit();
    }
    AtomicFolder scheduler(output / "scheduler");
    const ModelSchedulerConfig own = read_model_scheduler(source / "scheduler");
    save_scheduler(
        DDIMScheduler(stable_diffusion_fixes(scheduler_from_config<DDIMScheduler>(own.config, own.file).config())),
        scheduler.path());
    scheduler.commit();
    AtomicFolder folder(output / "unet");
    save_unet(unet, folder.path());
    folder.commit();
    nlohmann::json index = read_json(source / "model_index.json");
    index["_class_name"] = "TuneAVideoPipeline";
    // Not {"models", "UNet3DConditionModel"}, as Tune-A-Video writes: diffusers 0.11.1 cannot load a folder whose index
    // names a library that it does not know, not even with the UNet given.
    index["unet"] = {"diffusers", "UNet2DConditionModel"};
    index["scheduler"] = {"diffusers", "DDIMScheduler"};
    for (const char* absent : {"safety_checker", "feature_extractor", "requires_safety_checker", "image_encoder"}) {
        index.erase(absent);
    }
    write_json(output / "model_index.json", index);
}

/// Writes output/checkpoint-N: the trained parameters, the optimizer's state, the step, and of a float16 run the state
/// of its loss scale.
template <Scalar T, Backend B, class Unet>
void save_checkpoint(Tuner<T, B, Unet>& tuner, const Unet& unet, const std::filesystem::path& output,
                     const CheckpointIdentity& identity) {
    AtomicFolder folder(output / ("checkpoint-" + std::to_string(tuner.step_count())));
    StateDict trained;
    for_each_parameter(unet, [&](const std::string& name, const auto& parameter) {
        if (parameter.requires_grad()) {
            trained.emplace(name, to_file_tensor(parameter.master(), parameter.spec(), dtype_of<compute_t<T>>()));
        }
    });
    write_safetensors(folder.path() / "trained.safetensors", trained, {{"format", "pt"}});
    write_safetensors(folder.path() / "optimizer.safetensors", adamw_state_dict(tuner.optimizer()), {{"format", "pt"}});
    const TuneProgress progress = tuner.progress();
    nlohmann::json state{{"step", progress.step}, {"options", identity.options}};
    if constexpr (std::same_as<T, half>) {
        state["grad_scaler"] = {{"scale", progress.scaler.scale},
                                {"growth_tracker", progress.scaler.growth_tracker},
                                {"skipped", progress.skipped}};
    }
    write_checkpoint_state(folder.path(), state);
    folder.commit();
}

/// Continues from a checkpoint. Throws Error when it does not fit the model, when a file of it is not as it was saved,
/// or when it was made with other options, naming the first that differs.
template <Scalar T, Backend B, class Unet>
void load_checkpoint(Tuner<T, B, Unet>& tuner, Unet& unet, B& backend, const std::filesystem::path& folder,
                     const CheckpointIdentity& identity) {
    const std::string where = (folder / "state.json").string();
    const nlohmann::json state = read_checkpoint_state(folder);
    check_checkpoint_files(folder, state);
    const auto of = [](const nlohmann::json& options, const std::string& key) {
        return options.contains(key) ? options[key] : nlohmann::json();
    };
    nlohmann::json keys = state["options"];
    keys.update(identity.options);
    for (const auto& item : keys.items()) {
        const nlohmann::json saved = of(state["options"], item.key());
        const nlohmann::json now = of(identity.options, item.key());
        require(saved == now, where, ": the checkpoint was made with ", item.key(), " ", saved.dump(),
                ", this run has ", now.dump(), "; use the same options, or start afresh in another output folder");
    }
    const StateDict trained = read_safetensors(folder / "trained.safetensors");
    const std::string file = (folder / "trained.safetensors").string();
    std::size_t used = 0;
    for_each_parameter(unet, [&](const std::string& name, auto& parameter) {
        if (parameter.requires_grad()) {
            const auto found = trained.find(name);
            require(found != trained.end(), file, ": tensor \"", name, "\" is missing");
            parameter.set_master(tensor_from_file<compute_t<T>>(found->second, parameter.spec(), backend, name, file));
            ++used;
        }
    });
    require(used == trained.size(), file, ": holds ", trained.size(), " tensors, ", used, " are being trained");
    load_adamw_state_dict(tuner.optimizer(), backend, read_safetensors(folder / "optimizer.safetensors"),
                          (folder / "optimizer.safetensors").string());
    TuneProgress progress = tuner.progress();
    progress.step = static_cast<index_t>(state["step"].template get<std::int64_t>());
    if constexpr (std::same_as<T, half>) {
        const nlohmann::json& scaler = state.value("grad_scaler", nlohmann::json());
        const auto whole = [&](const char* key) { return scaler.contains(key) && scaler[key].is_number_integer(); };
        require(scaler.is_object() && scaler.contains("scale") && scaler["scale"].is_number() &&
                    whole("growth_tracker") && whole("skipped"),
                where, ": expected \"grad_scaler\" with \"scale\", \"growth_tracker\" and \"skipped\"");
        progress.scaler = {scaler["scale"].template get<double>(),
                           static_cast<index_t>(scaler["growth_tracker"].template get<std::int64_t>())};
        progress.skipped = static_cast<index_t>(scaler["skipped"].template get<std::int64_t>());
    }
    tuner.resume_at(progress);
}

} // namespace reel

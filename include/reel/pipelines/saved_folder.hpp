#pragma once
// Folders that hold a tuned model or the state of a training run. Needs reel::io.

#include <algorithm>
#include <filesystem>

#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/files/failed_writes.hpp>
#include <reel/io/records/checkpoint_state.hpp>
#include <reel/io/records/digests.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/models/from_pretrained.hpp>
#include <reel/optim/adamw_8bit_state.hpp>
#include <reel/pipelines/checkpoint_folder.hpp>
#include <reel/pipelines/model_files.hpp>
#include <reel/pipelines/model_tokenizer.hpp>
#include <reel/pipelines/reference_folder.hpp>
#include <reel/pipelines/tune.hpp>
#include <reel/schedulers/config/model_scheduler.hpp>
#include <reel/schedulers/config/scheduler_config.hpp>
#include <reel/schedulers/ddim.hpp>

namespace reel {

namespace detail {

/// model_index.json of a model that was tuned from one with this.
[[nodiscard]] inline nlohmann::json tuned_index(nlohmann::json index, const ModelPart& vae) {
    index["_class_name"] = "TuneAVideoPipeline";
    // Not {"models", "UNet3DConditionModel"}, as Tune-A-Video writes: diffusers 0.11.1 cannot load a folder whose index
    // names a library that it does not know, not even with the UNet given.
    index["unet"] = {"diffusers", "UNet2DConditionModel"};
    index["scheduler"] = {"diffusers", "DDIMScheduler"};
    index["vae"] = {"diffusers", is_autoencoder_tiny(vae.config_json()) ? "AutoencoderTiny" : "AutoencoderKL"};
    for (const char* absent : {"safety_checker", "feature_extractor", "requires_safety_checker", "image_encoder"}) {
        index.erase(absent);
    }
    return index;
}

/// Throws Error naming the file in which a checkpoint's model and this run's differ. Both are model_digests(), or null
/// where they are not known.
inline void require_same_model(const nlohmann::json& saved, const nlohmann::json& now, const std::string& where) {
    if (saved.is_object() && now.is_object()) {
        const std::string file = differing_file(saved, now);
        require(file.empty(), where, ": the checkpoint was made with another model: its ", file,
                " is not this run's (SHA-256); use the same model, or start afresh in another output folder");
    }
}

} // namespace detail

/// Saves a tuned model as Tune-A-Video does: a whole diffusers folder, with the UNet inflated
/// (unet/diffusion_pytorch_model.bin), the scheduler that inversion and sampling use, and the other parts of the folder
/// it came from as diffusers 0.11.1 loads them (copy_part_for_reference()), but for an AutoencoderTiny, which that
/// release lacks: it is saved as what it is, for reel and later releases. The UNet, of which there is no other copy,
/// comes first: what then fails is no reason to lose it, or what else can be saved. Throws PartsNotSaved for such
/// parts, another Error when the UNet is not saved.
template <Module Unet>
void save_tuned_pipeline(const Unet& unet, const ModelFiles& source, const std::filesystem::path& output) {
    make_output_folder(output);
    require_other_folder(output, source.path);
    {
        AtomicFolder folder(output / "unet");
        save_unet(unet, folder.path());
        folder.commit();
    }
    FailedWrites failed;
    const auto save = [&](const char* part, const auto& write) {
        failed.attempt([&] {
            AtomicFolder folder(output / part);
            write(folder.path());
            folder.commit();
        });
    };
    save("tokenizer", [&](const auto& folder) { write_model_tokenizer(source.tokenizer, source.is_second(), folder); });
    save("text_encoder",
         [&](const auto& folder) { write_part_for_reference("text_encoder", source.text_encoder, folder); });
    save("vae", [&](const auto& folder) { write_part_for_reference("vae", source.vae, folder); });
    save("scheduler", [&](const auto& folder) {
        const ModelSchedulerConfig& own = source.scheduler;
        save_scheduler(
            DDIMScheduler(stable_diffusion_fixes(scheduler_from_config<DDIMScheduler>(own.config, own.file).config())),
            folder);
    });
    failed.attempt([&] { write_json(output / "model_index.json", detail::tuned_index(source.index, source.vae)); });
    if (!failed.messages().empty()) {
        throw PartsNotSaved(concat_text("the tuned UNet is in ", (output / "unet").string(),
                                        ", but other parts of its folder are not: ", failed.summary()));
    }
}

/// The same for a model of which `source` is the path.
template <Module Unet>
void save_tuned_pipeline(const Unet& unet, const std::filesystem::path& source, const std::filesystem::path& output) {
    save_tuned_pipeline(unet, open_model(source), output);
}

/// Writes output/checkpoint-N: the trained parameters, the optimizer's state, the step, and of a float16 run the state
/// of its loss scale.
template <Scalar T, Backend B, class Unet>
void save_checkpoint(Tuner<T, B, Unet>& tuner, const Unet& unet, const std::filesystem::path& output,
                     const CheckpointIdentity& identity) {
    AtomicFolder folder(checkpoint_folder(output, tuner.step_count()));
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
    if (std::same_as<T, bfloat16> && progress.skipped > 0) {
        state["skipped"] = progress.skipped;
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
    // First, as it names the file; what else tells models apart does not.
    detail::require_same_model(of(state["options"], "model_files"), of(identity.options, "model_files"), where);
    nlohmann::json keys = state["options"];
    keys.update(identity.options);
    keys.erase("model_files");
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
    if constexpr (std::same_as<T, bfloat16>) {
        const auto skipped = state.find("skipped");
        progress.skipped =
            skipped != state.end() && skipped->is_number_unsigned() ? skipped->template get<index_t>() : 0;
    }
    index_t updates = 0;
    const auto count = [&](const auto& states) {
        for (const auto& entry : states) {
            updates = std::max(updates, static_cast<index_t>(entry.second.step));
        }
    };
    count(tuner.optimizer().states());
    count(tuner.optimizer().small().states());
    require(updates == progress.step - progress.skipped, where, ": says step ", progress.step, " with ",
            progress.skipped, " left out, but the optimizer's state has ", updates, " steps");
    tuner.resume_at(progress);
}

} // namespace reel

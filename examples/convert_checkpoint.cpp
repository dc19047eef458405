// convert_checkpoint INPUT OUTPUT: weights from one file format, or one arrangement, to another.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <reel/core/progress.hpp>
#include <reel/io/config/json.hpp>
#include <reel/io/files/atomic_folder.hpp>
#include <reel/io/weights/ldm_config.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_writer.hpp>
#include <reel/io/weights/weights.hpp>

#include "support/program.hpp"

namespace {

using Path = std::filesystem::path;
using reel::LdmPart;

struct Options {
    std::string input;
    std::string output;
    std::string dtype = "keep";
    std::string format = "safetensors";
    std::string variant;
    std::string config;
    std::string tokenizer;
    std::string prediction_type;
    int image_size = 0;
    bool averaged = false;
};

enum class Container { safetensors, torch };

struct PartFolder {
    LdmPart part;
    const char* name;
    const reel::WeightNames* weights;
};

const std::array<PartFolder, 3> part_folders{
    {{LdmPart::unet, "unet", &reel::diffusers_weight_names},
     {LdmPart::vae, "vae", &reel::diffusers_weight_names},
     {LdmPart::text_encoder, "text_encoder", &reel::transformers_weight_names}}};

std::string extension(const Path& path) {
    std::string text = path.extension().string();
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

/// The container that a file's name asks for; nothing for what is to be a folder.
std::optional<Container> container_of(const Path& path) {
    const std::string ending = extension(path);
    if (ending == ".safetensors") {
        return Container::safetensors;
    }
    return ending == ".bin" || ending == ".pt" || ending == ".pth" || ending == ".ckpt"
               ? std::optional(Container::torch)
               : std::nullopt;
}

std::optional<reel::DType> chosen_dtype(const Options& options) {
    const std::map<std::string, reel::DType> types{
        {"fp32", reel::DType::f32}, {"fp16", reel::DType::f16}, {"bf16", reel::DType::bf16}};
    const auto found = types.find(options.dtype);
    return found == types.end() ? std::nullopt : std::optional(found->second);
}

/// Shows that tensors are being written, and stops between two of them when asked to.
std::vector<reel::TensorSource> watched(std::vector<reel::TensorSource> sources, reel::Progress& progress) {
    for (reel::TensorSource& source : sources) {
        source.load = [load = std::move(source.load), &progress] {
            program::check_stop();
            progress.step();
            return load();
        };
    }
    return sources;
}

void write_weights(const Path& path, std::vector<reel::TensorSource> sources, const Options& options,
                   reel::TextMetadata metadata = {}) {
    sources = reel::converted_sources(std::move(sources), chosen_dtype(options));
    std::uint64_t bytes = 0;
    for (const reel::TensorSource& source : sources) {
        bytes += reel::checked_element_count(source.shape, reel::size_of(source.dtype)) * reel::size_of(source.dtype);
    }
    const std::size_t count = sources.size();
    {
        reel::Progress progress(path.filename().string(), count);
        const auto shown = watched(std::move(sources), progress);
        if (container_of(path) == Container::safetensors) {
            metadata["format"] = "pt";
            reel::write_safetensors(path, shown, metadata);
        } else {
            reel::write_torch_checkpoint(path, shown, 0xffffffff, extension(path) == ".ckpt" ? "state_dict" : "");
        }
    }
    std::cout << path.filename().string() << ": " << count << " tensors, " << bytes << " bytes\n";
}

/// A weights file. What a training program keeps beside the weights is passed over, and so is the "state_dict" around
/// them.
struct WeightsFile {
    reel::StateDict tensors;
    reel::TextMetadata metadata;
};

WeightsFile read_file(const Path& path) {
    const reel::FileKind kind = [&] {
        const reel::MappedFile file(path);
        reel::refuse_placeholder(file.bytes(), file.path());
        return reel::file_kind(file.bytes());
    }();
    if (kind == reel::FileKind::safetensors) {
        reel::Safetensors file = reel::read_safetensors_file(path);
        return {std::move(file.tensors), std::move(file.metadata)};
    }
    reel::require(kind == reel::FileKind::torch_zip || kind == reel::FileKind::torch_legacy, path.string(),
                  ": neither a safetensors file nor a PyTorch checkpoint");
    reel::TorchCheckpoint checkpoint = reel::read_torch_checkpoint(path, true, reel::TorchObjects::skip);
    reel::require(!checkpoint.tensors.contains(""), path.string(), ": holds one bare tensor, expected a state dict");
    reel::require(!checkpoint.tensors.empty(), path.string(), ": the checkpoint holds no tensors");
    const std::string around = "state_dict.";
    if (!reel::detail::has_prefix(checkpoint.tensors, around)) {
        return {std::move(checkpoint.tensors), {}};
    }
    WeightsFile file;
    for (auto& [name, tensor] : checkpoint.tensors) {
        if (name.starts_with(around)) {
            file.tensors.emplace(name.substr(around.size()), std::move(tensor));
        }
    }
    if (const std::size_t rest = checkpoint.tensors.size() - file.tensors.size(); rest > 0) {
        std::cout << path.filename().string() << ": " << rest
                  << " tensors beside the state dict (the optimizer's, for example) are left out\n";
    }
    return file;
}

bool is_folder(const Path& path) {
    std::error_code ignored;
    return std::filesystem::is_directory(path, ignored);
}

/// Throws unless `output` can become a new folder.
void check_new_folder(const Path& output) {
    std::error_code ignored;
    reel::require(!std::filesystem::exists(output, ignored) ||
                      (is_folder(output) && std::filesystem::is_empty(output, ignored)),
                  output.string(), ": it exists already; choose another name, or remove it");
}

void copy_folder(const Path& from, const Path& to) {
    reel::make_output_folder(to);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        if (entry.is_regular_file()) {
            reel::copy_file_atomically(entry.path(), to / entry.path().filename());
        }
    }
}

Path weights_path(const Path& folder, const reel::WeightNames& names, const Options& options) {
    return folder / (options.format == "bin" ? names.torch + ".bin" : names.safetensors + ".safetensors");
}

/// A path that ends in a name: out/model/ is out/model.
Path without_slash(const Path& path) {
    return path.has_filename() ? path : path.parent_path();
}

void check_tokenizer(const Path& folder) {
    for (const char* file : {"vocab.json", "merges.txt"}) {
        reel::require(std::filesystem::is_regular_file(folder / file), folder.string(), ": ", file,
                      " is missing; expected the tokenizer/ of a diffusers folder of the same Stable Diffusion");
    }
}

/// --prediction_type, or what the file says, or what there is no doubt about.
std::string prediction_type(const Options& options, const WeightsFile& file, bool open_clip) {
    if (!options.prediction_type.empty()) {
        return options.prediction_type;
    }
    const auto said = file.metadata.find("modelspec.prediction_type");
    if (said != file.metadata.end()) {
        return said->second == "v" ? "v_prediction" : said->second;
    }
    reel::require(!open_clip, options.input,
                  ": a Stable Diffusion 2 file does not say what its UNet predicts; say --prediction_type epsilon "
                  "(2-base, 2-1-base) or --prediction_type v_prediction (2 and 2-1, of 768 pixels)");
    return "epsilon";
}

int single_file_to_folder(const Options& options) {
    const Path output = without_slash(options.output);
    check_new_folder(output);
    const WeightsFile file = read_file(options.input); // first: a broken file is the larger trouble
    const Path like = options.config;
    const Path tokenizer = !options.tokenizer.empty() ? Path(options.tokenizer)
                           : !options.config.empty()  ? like / "tokenizer"
                                                      : Path();
    reel::require(!tokenizer.empty(), options.input,
                  ": a single file holds no tokenizer; name one with --tokenizer DIR (the tokenizer/ of a diffusers "
                  "folder of the same Stable Diffusion: vocab.json, merges.txt), or a whole folder with --config DIR");
    check_tokenizer(tokenizer);
    const reel::LdmLayout layout = reel::ldm_layout(file.tensors, options.input);
    const reel::LdmParts parts = reel::ldm_to_diffusers(file.tensors, layout, options.input, options.averaged);

    reel::AtomicFolder folder(output);
    if (options.config.empty()) {
        reel::LdmFacts facts;
        facts.prediction_type = prediction_type(options, file, layout.open_clip);
        facts.image_size = options.image_size > 0                    ? options.image_size
                           : facts.prediction_type == "v_prediction" ? 768
                                                                     : 512;
        std::optional<std::vector<float>> betas;
        if (const auto found = file.tensors.find("betas"); found != file.tensors.end()) {
            betas = found->second.to_vector<float>();
        }
        const reel::LdmConfigs configs = reel::ldm_configs(parts, layout, facts, betas, options.input);
        const auto write = [&](const char* part, const char* name, const nlohmann::json& json) {
            reel::make_output_folder(folder.path() / part);
            reel::write_json(folder.path() / part / name, json);
        };
        write("unet", "config.json", configs.unet);
        write("vae", "config.json", configs.vae);
        write("text_encoder", "config.json", configs.text_encoder);
        write("scheduler", "scheduler_config.json", configs.scheduler);
        reel::write_json(folder.path() / "model_index.json", configs.model_index);
    } else {
        for (const PartFolder& part : part_folders) {
            reel::make_output_folder(folder.path() / part.name);
            reel::copy_file_atomically(like / part.name / "config.json", folder.path() / part.name / "config.json");
        }
        copy_folder(like / "scheduler", folder.path() / "scheduler");
        reel::copy_file_atomically(like / "model_index.json", folder.path() / "model_index.json");
    }
    copy_folder(tokenizer, folder.path() / "tokenizer");
    for (const PartFolder& part : part_folders) {
        write_weights(weights_path(folder.path() / part.name, *part.weights, options),
                      reel::tensor_sources(parts.at(part.part)), options);
    }
    folder.commit();
    std::cout << output.string() << ": Stable Diffusion " << (layout.open_clip ? 2 : 1) << " folder\n";
    return 0;
}

int folder_to_single_file(const Options& options) {
    const Path input = options.input;
    reel::LdmParts parts;
    for (const PartFolder& part : part_folders) {
        parts.emplace(part.part, reel::load_weights(input / part.name, *part.weights, options.variant));
    }
    const nlohmann::json text = reel::read_json(input / "text_encoder" / "config.json");
    // Stable Diffusion 2's text encoder is OpenCLIP's, which has the exact GELU, where CLIP has a fast one.
    const bool open_clip = text.is_object() && text.value("hidden_act", nlohmann::json()) == "gelu";
    const reel::LdmLayout layout = reel::diffusers_layout(parts.at(LdmPart::unet), parts.at(LdmPart::vae),
                                                          parts.at(LdmPart::text_encoder), open_clip, input.string());
    std::vector<reel::TensorSource> sources = reel::diffusers_to_ldm(parts, layout, input.string());
    const Path scheduler_file = input / "scheduler" / "scheduler_config.json";
    const nlohmann::json scheduler = reel::read_json(scheduler_file);
    if (const auto betas = reel::ldm_betas_of(scheduler, scheduler_file.string())) {
        const reel::HostTensor tensor =
            reel::HostTensor::make<float>({static_cast<std::int64_t>(betas->size())}, *betas);
        sources.push_back({"betas", tensor.dtype, tensor.shape, [tensor] { return tensor; }});
    }
    const std::string predicts =
        scheduler.value("prediction_type", nlohmann::json("epsilon")) == "v_prediction" ? "v" : "epsilon";
    write_weights(options.output, std::move(sources), options, {{"modelspec.prediction_type", predicts}});
    if (container_of(options.output) == Container::torch && predicts == "v") {
        std::cout << "this format cannot say that the UNet predicts v; who reads it must know\n";
    }
    return 0;
}

/// The same names in another container, part by part; whatever else the folder holds is copied.
int folder_to_folder(const Options& options) {
    const Path input = options.input;
    const Path output = without_slash(options.output);
    check_new_folder(output);
    reel::AtomicFolder folder(output);
    std::size_t converted = 0;
    const auto convert = [&](const Path& from, const Path& to, const reel::WeightNames& names) {
        reel::make_output_folder(to);
        for (const auto& entry : std::filesystem::directory_iterator(from)) {
            const bool weights =
                container_of(entry.path()) || entry.path().filename().string().find(".index") != std::string::npos;
            if (entry.is_regular_file() && !weights) {
                reel::copy_file_atomically(entry.path(), to / entry.path().filename());
            }
        }
        write_weights(weights_path(to, names, options),
                      reel::tensor_sources(reel::load_weights(from, names, options.variant)), options);
        ++converted;
    };
    const auto has_weights = [&](const Path& part, const reel::WeightNames& names) {
        const auto candidates = reel::weight_candidates(part, names, options.variant);
        return std::any_of(candidates.begin(), candidates.end(),
                           [](const Path& path) { return std::filesystem::exists(path); });
    };
    const auto either = [&](const Path& from, const Path& to) {
        for (const auto* names : {&reel::diffusers_weight_names, &reel::transformers_weight_names}) {
            if (has_weights(from, *names)) {
                convert(from, to, *names);
                return true;
            }
        }
        return false;
    };
    if (!either(input, folder.path())) { // a whole model, not one part of it
        for (const auto& entry : std::filesystem::directory_iterator(input)) {
            const Path to = folder.path() / entry.path().filename();
            if (entry.is_directory() && !either(entry.path(), to)) {
                copy_folder(entry.path(), to);
            } else if (entry.is_regular_file() && !container_of(entry.path())) {
                reel::copy_file_atomically(entry.path(), to);
            }
        }
    }
    reel::require(converted > 0, input.string(), ": no weights found, neither in it nor in its folders");
    folder.commit();
    std::cout << output.string() << ": " << converted << " folders of weights\n";
    return 0;
}

int file_to_file(const Options& options) {
    WeightsFile file = read_file(options.input);
    write_weights(options.output, reel::tensor_sources(file.tensors), options, std::move(file.metadata));
    return 0;
}

int convert(const Options& options) {
    std::error_code ignored;
    const bool from_folder = is_folder(options.input);
    const bool to_file = container_of(options.output).has_value();
    reel::require(!std::filesystem::equivalent(options.input, options.output, ignored), options.output,
                  ": INPUT and OUTPUT are the same; choose another name");
    if (from_folder) {
        return to_file ? folder_to_single_file(options) : folder_to_folder(options);
    }
    return to_file ? file_to_file(options) : single_file_to_folder(options);
}

} // namespace

int main(int argc, char** argv) {
    return program::run("convert_checkpoint", [&] {
        CLI::App app{
            "Converts weights.\n"
            "  FILE to FILE      the same names in another container: .safetensors, or .bin, .pt, .pth, .ckpt\n"
            "  FILE to FOLDER    a Stable Diffusion 1.x or 2.x single file to a diffusers folder\n"
            "  FOLDER to FILE    a diffusers folder to a single file\n"
            "  FOLDER to FOLDER  a diffusers folder, or one part of it, with weights in another container"};
        Options options;
        app.add_option("INPUT", options.input, "a file, or a folder")->required();
        app.add_option("OUTPUT", options.output, "a file if its name ends so, else a folder, which must be new")
            ->required();
        app.add_option("--dtype", options.dtype, "type of the weights: keep, fp32, fp16 or bf16")
            ->check(CLI::IsMember({"keep", "fp32", "fp16", "bf16"}))
            ->capture_default_str();
        app.add_option("--format", options.format, "of the weights in an output folder: safetensors or bin")
            ->check(CLI::IsMember({"safetensors", "bin"}))
            ->capture_default_str();
        app.add_option("--variant", options.variant, "of the weights in an input folder, such as fp16");
        app.add_option("--config", options.config,
                       "diffusers folder whose configurations, scheduler and tokenizer an output folder gets; default: "
                       "read off the shapes, with what all of Stable Diffusion 1 or 2 have in common");
        app.add_option("--tokenizer", options.tokenizer, "tokenizer folder that an output folder gets");
        app.add_option("--prediction_type", options.prediction_type,
                       "what the UNet of a single file predicts: epsilon or v_prediction")
            ->check(CLI::IsMember({"epsilon", "v_prediction"}));
        app.add_option("--image_size", options.image_size,
                       "pixels a side that a single file's model was made for; 0: 768 with v_prediction, else 512")
            ->check(CLI::Range(0, 16384))
            ->capture_default_str();
        app.add_flag("--ema", options.averaged, "take the UNet's averaged weights from a single file");
        if (const auto status = program::parse(app, argc, argv)) {
            return *status;
        }
        return convert(options);
    });
}

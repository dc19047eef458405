#pragma once
// The state of a training from nothing, on disk. Needs reel::io.

#include <reel/io/records/checkpoint_state.hpp>
#include <reel/pipelines/saved_folder.hpp>
#include <reel/pipelines/train.hpp>

namespace reel {

/// Writes `folder`: the parameters' values, AdamW's state, the averages, and state.json with the step, `options`, which
/// a run that continues must share, and the keys of `more`. The folder appears whole or not at all.
template <Real T, Backend B>
void save_training(const std::filesystem::path& path, const Training<T, B>& training,
                   const std::vector<NamedParameter<T, B>>& parameters, const nlohmann::json& options,
                   nlohmann::json more = nlohmann::json::object()) {
    AtomicFolder folder(path);
    const auto host = [](const Tensor<T, B>& value) {
        return HostTensor::make(std::vector<std::int64_t>(value.shape().begin(), value.shape().end()), value.to_host());
    };
    StateDict values;
    for (const auto& parameter : parameters) {
        values.emplace(parameter.name, host(parameter.value));
    }
    StateDict averages;
    for (const auto& [name, value] : training.ema().averages()) {
        averages.emplace(name, host(value));
    }
    write_safetensors(folder.path() / "parameters.safetensors", values);
    write_safetensors(folder.path() / "averages.safetensors", averages);
    write_safetensors(folder.path() / "optimizer.safetensors", adamw_state_dict(training.optimizer()));
    more.update({{"step", training.step_count()}, {"options", options}});
    write_checkpoint_state(folder.path(), std::move(more));
    folder.commit();
}

/// The step of a folder that save_training() wrote. Throws Error unless it was made with these `options`, naming the
/// first that differs.
[[nodiscard]] inline index_t check_training(const std::filesystem::path& folder, const nlohmann::json& options) {
    const std::string where = (folder / "state.json").string();
    const nlohmann::json state = read_checkpoint_state(folder);
    const auto differs = [&](const std::string& key, const std::string& saved, const std::string& now) {
        fail(where, ": the checkpoint was made with ", key, " ", saved, ", this run has ", now,
             "; use the same options, or start afresh in another output folder");
    };
    for (const auto& [key, value] : state["options"].items()) {
        if (!options.contains(key) || options[key] != value) {
            differs(key, value.dump(), options.contains(key) ? options[key].dump() : "another");
        }
    }
    for (const auto& [key, value] : options.items()) {
        if (!state["options"].contains(key)) {
            differs(key, "another", value.dump());
        }
    }
    return static_cast<index_t>(state["step"].get<std::int64_t>());
}

/// Continues from what save_training() wrote: overwrites the parameters' elements in place. Throws Error when the
/// folder does not fit the model, when a file of it is not as it was saved, when the optimizer's state is of another
/// step, and what check_training() throws.
template <Real T, Backend B>
void load_training(const std::filesystem::path& folder, B& backend, Training<T, B>& training,
                   const std::vector<NamedParameter<T, B>>& parameters, const nlohmann::json& options) {
    const index_t step = check_training(folder, options);
    check_checkpoint_files(folder, read_checkpoint_state(folder));
    const auto read = [&](const char* file) {
        const std::string name = (folder / file).string();
        const StateDict tensors = read_safetensors(folder / file);
        std::map<std::string, Tensor<T, B>, std::less<>> found;
        for (const auto& parameter : parameters) {
            const auto entry = tensors.find(parameter.name);
            require(entry != tensors.end(), name, ": tensor \"", parameter.name, "\" is missing");
            const HostTensor& tensor = entry->second;
            const Shape& shape = parameter.value.shape();
            require(tensor.dtype == dtype_of<T>() && tensor.shape.size() == static_cast<std::size_t>(shape.rank()) &&
                        std::equal(tensor.shape.begin(), tensor.shape.end(), shape.begin()),
                    name, ": tensor \"", parameter.name, "\" is not a ", name_of(dtype_of<T>()), " tensor of shape ",
                    shape);
            found.emplace(parameter.name, Tensor<T, B>::from_host(backend, shape, tensor.to_vector<T>()));
        }
        require(found.size() == tensors.size(), name, ": holds ", tensors.size(), " tensors, the model has ",
                found.size());
        return found;
    };
    const auto values = read("parameters.safetensors");
    training.ema().restore(read("averages.safetensors"), step);
    load_adamw_state_dict(training.optimizer(), backend, read_safetensors(folder / "optimizer.safetensors"),
                          (folder / "optimizer.safetensors").string());
    index_t updates = 0;
    for (const auto& [name, state] : training.optimizer().states()) {
        updates = std::max(updates, state.step);
    }
    require(updates == step, (folder / "state.json").string(), ": says step ", step, ", but the optimizer's state has ",
            updates, " steps");
    for (const auto& parameter : parameters) {
        parameter.value.copy_from(values.find(parameter.name)->second);
    }
    training.resume_at(step);
}

} // namespace reel

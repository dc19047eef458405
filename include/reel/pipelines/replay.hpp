#pragma once
// Exact comparison with another implementation: all that is random from a file, all that matters to a file.
// Needs reel::io.

#include <map>

#include <reel/io/weights/tensor_file.hpp>
#include <reel/pipelines/clip_layout.hpp>
#include <reel/pipelines/training_noise.hpp>

namespace reel {

/// What insert_object --replay reads: tensors in the reference's axis order.
///   train.posterior_noise [steps, frames, 4, h, w], train.noise [steps, 1, 4, frames, h, w], train.timesteps [steps]
///   int64, `init.<name>` for every parameter that inflation creates, and optionally video.frames_u8 [frames, H, W, 3].
class Replay {
public:
    explicit Replay(const std::filesystem::path& path) : where_(path.string()), tensors_(read_tensors(path)) {}

    /// Noise of one draw. Throws Error when the file has fewer or differently shaped ones.
    template <Real T, Backend B>
    [[nodiscard]] TrainingNoise<T, B> training_noise(B& backend, const Shape& latents, index_t draw) const {
        const Tensor<T, B> posterior = row<T>(backend, "train.posterior_noise", draw);
        const Tensor<T, B> noise = row<T>(backend, "train.noise", draw);
        const HostTensor& timesteps = tensor("train.timesteps");
        require(timesteps.dtype == DType::i64 && timesteps.shape.size() == 1 && draw < timesteps.shape[0], where_,
                ": train.timesteps is ", name_of(timesteps.dtype), " ", shape_text(timesteps.shape),
                ", expected int64 with an entry for draw ", draw);
        require(posterior.rank() == 4 && noise.rank() == 5, where_,
                ": train.posterior_noise or train.noise has the "
                "wrong number of axes");
        TrainingNoise<T, B> result{
            permute(posterior, {0, 2, 3, 1}), from_reference_order(noise),
            static_cast<index_t>(timesteps.to_vector<std::int64_t>()[static_cast<std::size_t>(draw)])};
        require(result.posterior.shape() == latents && result.noise.shape() == latents, where_,
                ": the training noise has latents ", result.posterior.shape(), " and ", result.noise.shape(),
                ", the clip has ", latents, " (as [frames, h, w, channels])");
        return result;
    }

    /// video.frames_u8, or null.
    [[nodiscard]] const HostTensor* video() const {
        const auto found = tensors_.find("video.frames_u8");
        if (found == tensors_.end()) {
            return nullptr;
        }
        require(found->second.dtype == DType::u8 && found->second.shape.size() == 4 && found->second.shape[3] == 3 &&
                    found->second.element_count() > 0,
                where_, ": video.frames_u8 is ", name_of(found->second.dtype), " ", shape_text(found->second.shape),
                ", expected uint8 [frames, height, width, 3]");
        return &found->second;
    }

    /// The tensor of a name. Throws Error where it is missing.
    [[nodiscard]] const HostTensor& tensor(const std::string& name) const {
        const auto found = tensors_.find(name);
        require(found != tensors_.end(), where_, ": tensor \"", name, "\" is missing");
        return found->second;
    }
    [[nodiscard]] const StateDict& tensors() const { return tensors_; }
    [[nodiscard]] const std::string& where() const { return where_; }

private:
    template <Real T, Backend B>
    [[nodiscard]] Tensor<T, B> row(B& backend, const std::string& name, index_t draw) const {
        const HostTensor& all = tensor(name);
        require(!all.shape.empty() && draw < all.shape[0], where_, ": ", name, " has shape ", shape_text(all.shape),
                ", and draw ", draw, " is asked for");
        HostTensor one = all;
        one.shape.erase(one.shape.begin());
        one.data = all.data + static_cast<std::size_t>(draw) * one.byte_count();
        return from_file<T>(backend, one, where_ + ": " + name);
    }

    std::string where_;
    StateDict tensors_;
};

/// What insert_object --save_tensors writes. Keeps nothing unless it is on.
class TensorRecorder {
public:
    TensorRecorder() = default;
    explicit TensorRecorder(std::filesystem::path path) : path_(std::move(path)) {}

    [[nodiscard]] bool on() const { return !path_.empty(); }

    void record(const std::string& name, HostTensor tensor) {
        if (on()) {
            tensors_.insert_or_assign(name, std::move(tensor));
        }
    }
    void record(const std::string& name, const std::vector<float>& values) {
        record(name, HostTensor::make({static_cast<std::int64_t>(values.size())}, values));
    }

    /// Appends latents [frames, h, w, c] to the stack `name`, [steps, 1, c, frames, h, w].
    template <Real T, Backend B>
    void append(const std::string& name, const Tensor<T, B>& latents) {
        if (!on()) {
            return;
        }
        const Tensor<T, B> ordered = to_reference_order(latents, latents.shape(0));
        auto& stack = stacks_[name];
        const std::vector<T> values = ordered.to_host();
        stack.values.insert(stack.values.end(), values.begin(), values.end());
        stack.row = file_shape(ordered.shape());
        ++stack.count;
    }

    void write() {
        if (!on()) {
            return;
        }
        for (auto& [name, stack] : stacks_) {
            stack.row.insert(stack.row.begin(), stack.count);
            tensors_.insert_or_assign(name, HostTensor::make(stack.row, std::move(stack.values)));
        }
        stacks_.clear();
        write_tensors(path_, tensors_);
    }

private:
    struct Stack {
        std::vector<float> values;
        std::vector<std::int64_t> row;
        std::int64_t count = 0;
    };

    std::filesystem::path path_;
    StateDict tensors_;
    std::map<std::string, Stack> stacks_;
};

} // namespace reel

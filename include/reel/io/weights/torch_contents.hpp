#pragma once
// What a PyTorch checkpoint holds, and the classes that its tensors are made of: part of torch_checkpoint.hpp. Needs no
// library.

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/core/scalar.hpp>
#include <reel/io/weights/host_tensor.hpp>

namespace reel {

/// What a checkpoint holds. A tensor's name is the path of keys and list positions that leads to it, joined by '.':
/// the state dict's own keys for a plain state dict, "state_dict.conv.weight" for one inside {"state_dict": ...}, and
/// "" when the file is one bare tensor.
struct TorchCheckpoint {
    StateDict tensors;
    /// Names of what is not a tensor (numbers, texts, None); of short texts at the top the values are in `texts`.
    std::vector<std::string> others;
    std::map<std::string, std::string, std::less<>> texts{};

    /// The only tensor of a file that is one bare tensor. Throws Error when it is something else.
    [[nodiscard]] const HostTensor& bare_tensor(const std::string& path) const {
        const auto found = tensors.find("");
        require(found != tensors.end(), path, ": expected a file with one bare tensor, found ", tensors.size(),
                " named ones");
        return found->second;
    }
};

/// What reading does with objects of classes that plain tensors do not need, such as a training program's own.
enum class TorchObjects {
    refuse, ///< an Error that names the class
    skip    ///< they count as None; nothing of theirs is executed
};

namespace detail {

struct TorchStorageType {
    std::string_view global;
    DType dtype;
};

inline constexpr std::array torch_storage_types{
    TorchStorageType{"torch.DoubleStorage", DType::f64}, TorchStorageType{"torch.FloatStorage", DType::f32},
    TorchStorageType{"torch.HalfStorage", DType::f16},   TorchStorageType{"torch.BFloat16Storage", DType::bf16},
    TorchStorageType{"torch.LongStorage", DType::i64},   TorchStorageType{"torch.IntStorage", DType::i32},
    TorchStorageType{"torch.ShortStorage", DType::i16},  TorchStorageType{"torch.CharStorage", DType::i8},
    TorchStorageType{"torch.ByteStorage", DType::u8},    TorchStorageType{"torch.BoolStorage", DType::boolean},
};

/// What tensors, parameters and buffers are made of beside storages: those that torch's own weights-only loader allows
/// for them (torch 2.15.0, torch/_weights_only_unpickler.py).
inline constexpr std::array<std::string_view, 11> torch_tensor_globals{"collections.OrderedDict",
                                                                       "torch.Size",
                                                                       "torch.Tensor",
                                                                       "torch._utils._rebuild_tensor_v2",
                                                                       "torch._utils._rebuild_parameter",
                                                                       "torch._utils._rebuild_parameter_with_state",
                                                                       "torch._tensor._rebuild_from_type_v2",
                                                                       "torch._tensor._rebuild_from_type",
                                                                       "torch.nn.parameter.Parameter",
                                                                       "torch.nn.parameter.Buffer",
                                                                       "torch.nn.parameter.BufferMeta"};

[[nodiscard]] inline std::optional<DType> torch_storage_dtype(std::string_view global) {
    for (const TorchStorageType& type : torch_storage_types) {
        if (type.global == global) {
            return type.dtype;
        }
    }
    return std::nullopt;
}

} // namespace detail

} // namespace reel

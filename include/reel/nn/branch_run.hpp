#pragma once

#include <reel/nn/check_coupling.hpp>

namespace reel {

/// Runs the branches of a block on x, whole or in pieces: visit it with each.
template <class V>
class BranchRun {
public:
    using T = typename V::value_type;
    using B = typename V::backend_type;

    enum class How {
        whole,
        pieces, ///< of a tensor, in place
        check,  ///< the branches' claims, on random numbers; x is a clip of those to come
    };

    BranchRun(V& x, index_t clips, How how, std::string block)
        : x_(x), clips_(clips), how_(how), block_(std::move(block)) {}

    template <class Run>
    void operator()(const ResidualBranch<Run>& branch) const {
        if constexpr (is_tensor<V>) {
            if (how_ == How::pieces) {
                add_in_pieces_(x_, clips_, branch);
                return;
            }
            if (how_ == How::check) {
                check_coupling<T>(x_.backend(), block_, branch, clips_, x_.shape());
                return;
            }
        }
        x_ = add(change(branch), x_);
    }

private:
    /// What gradients would keep of a branch that couples nothing is computed again, some rows at a time, where that is
    /// half a piece's worth: a hundredth or so of a tuning step's time for a fifth of what it holds for a moment.
    template <class Run>
    [[nodiscard]] V change(const ResidualBranch<Run>& branch) const {
        const ClipPiece all{.clips = clips_, .frames = x_.shape(0) / clips_};
        if constexpr (!is_tensor<V> && std::is_invocable_v<const Run&, const Tensor<T, B>&, const ClipPiece&>) {
            const auto bytes = static_cast<index_t>(sizeof(T));
            if (branch.couples == Couples::nothing && branch.kept * x_.size() * bytes > piece_bytes(x_.backend()) / 2) {
                const index_t rows = x_.size() / x_.shape(-1);
                const index_t size = at_once(x_.backend(), rows, 2 * branch.widths * x_.shape(-1) * bytes, 2048);
                const auto block = [run = branch.run](const auto& part) { return run(part, ClipPiece{}); };
                return checkpoint_rows(branch.trains, size, block, x_);
            }
        }
        return branch.run(x_, all);
    }

    V& x_;
    index_t clips_;
    How how_;
    std::string block_; ///< for messages
};

} // namespace reel

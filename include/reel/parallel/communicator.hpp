#pragma once
// Processes that work together, as a value, and the few things that they do all at once.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <reel/core/error.hpp>
#include <reel/parallel/share.hpp>
#include <reel/parallel/transport.hpp>

namespace reel {

/// What can be sent as its bytes, between machines of one kind.
template <class T>
concept Sendable = std::is_trivially_copyable_v<T>;

/// A group of ranks; copies are the same group. Without anything it is this process alone, for which all of this does
/// nothing. What is said to be called by all must be called by all, in the same order, or they wait for each other
/// until the time limit.
class Communicator {
public:
    Communicator() = default;
    explicit Communicator(std::shared_ptr<Transport> transport) : transport_(std::move(transport)) {}

    [[nodiscard]] int rank() const { return transport_ ? transport_->rank() : 0; }
    [[nodiscard]] int size() const { return transport_ ? transport_->size() : 1; }
    [[nodiscard]] bool alone() const { return size() == 1; }
    /// The one that writes files and speaks.
    [[nodiscard]] bool first() const { return rank() == 0; }
    [[nodiscard]] int on_this_machine() const { return transport_ ? transport_->on_this_machine() : 1; }
    [[nodiscard]] std::string machine() const { return transport_ ? transport_->machine() : ""; }
    /// This rank's share of items that all know the number of.
    [[nodiscard]] Share share(index_t items) const { return share_of(items, rank(), size()); }

    /// Those of one colour, in the order of their ranks. Called by all.
    [[nodiscard]] Communicator split(int colour) const {
        return transport_ ? Communicator(transport_->split(colour)) : Communicator();
    }

    /// Gives all what `root` has. Called by all, with as many values. Sends (size - 1) * n values, all of them root.
    template <Sendable T>
    void broadcast(std::span<T> values, int root = 0, std::string_view what = "broadcast") const {
        require(root >= 0 && root < size(), "broadcast: root ", root, " of ", size(), " ranks");
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        if (rank() == root) {
            for_others([&](int other) { out.push_back({other, std::as_bytes(values)}); });
        } else {
            in.push_back({root, std::as_writable_bytes(values)});
        }
        exchange(out, in, what);
    }

    /// Every rank's share of `all`, which has `rows` rows, is written there by that rank; afterwards all have all.
    /// Called by all. A rank sends (size - 1) times its share.
    template <Sendable T>
    void all_gather(std::span<T> all, index_t rows, std::string_view what = "all_gather") const {
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        for_others([&](int other) {
            out.push_back({other, std::as_bytes(part(all, rows, rank()))});
            in.push_back({other, std::as_writable_bytes(part(all, rows, other))});
        });
        exchange(out, in, what);
    }

    /// Sums over the ranks, in place, in the order of the ranks, so that they are the same on all and in every run.
    /// Called by all, with as many values. A rank sends about 2 * (size - 1) / size * n values: every rank gets its
    /// share of all others' values, sums that, and gives it to them.
    template <class T>
    requires std::is_arithmetic_v<T>
    void all_reduce(std::span<T> values, std::string_view what = "all_reduce") const {
        if (alone()) {
            return;
        }
        const auto count = static_cast<index_t>(values.size());
        const std::span<T> mine = part(values, count, rank());
        std::vector<T> theirs(mine.size() * static_cast<std::size_t>(size()));
        const auto of = [&](int other) {
            return std::span<T>(theirs).subspan(static_cast<std::size_t>(other) * mine.size(), mine.size());
        };
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        for_others([&](int other) {
            out.push_back({other, std::as_bytes(part(values, count, other))});
            in.push_back({other, std::as_writable_bytes(of(other))});
        });
        exchange(out, in, what);
        std::copy(mine.begin(), mine.end(), of(rank()).begin());
        std::copy(of(0).begin(), of(0).end(), mine.begin());
        for (int other = 1; other < size(); ++other) {
            for (std::size_t i = 0; i < mine.size(); ++i) {
                mine[i] += of(other)[i];
            }
        }
        all_gather(values, count, what);
    }

    /// Rank r gets block r of every rank's `send`, in the order of the ranks. Both have size() blocks of one length.
    /// Called by all. A rank sends all but its own block.
    template <Sendable T>
    void all_to_all(std::span<const T> send, std::span<T> receive, std::string_view what = "all_to_all") const {
        const auto ranks = static_cast<std::size_t>(size());
        require(send.size() == receive.size() && send.size() % ranks == 0, what, ": ", send.size(), " values to send, ",
                receive.size(), " to receive, among ", ranks, " ranks");
        const std::size_t block = send.size() / ranks;
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        for_others([&](int other) {
            const std::size_t start = static_cast<std::size_t>(other) * block;
            out.push_back({other, std::as_bytes(send.subspan(start, block))});
            in.push_back({other, std::as_writable_bytes(receive.subspan(start, block))});
        });
        const std::size_t own = static_cast<std::size_t>(rank()) * block;
        std::copy_n(send.begin() + static_cast<std::ptrdiff_t>(own), block,
                    receive.begin() + static_cast<std::ptrdiff_t>(own));
        exchange(out, in, what);
    }

    /// Gives the next rank `send`, and gets the former's. The first gets nothing, the last gives nothing. Called by
    /// all, with as many values. Every rank but the last sends n values.
    template <Sendable T>
    void shift(std::span<const T> send, std::span<T> receive, std::string_view what = "shift") const {
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        if (rank() + 1 < size()) {
            out.push_back({rank() + 1, std::as_bytes(send)});
        }
        if (rank() > 0) {
            in.push_back({rank() - 1, std::as_writable_bytes(receive)});
        }
        exchange(out, in, what);
    }

    /// Returns when all have come.
    void barrier(std::string_view what = "barrier") const {
        std::vector<char> marks(static_cast<std::size_t>(size()));
        all_gather(std::span<char>(marks), size(), what);
    }

    /// Bytes that this process has sent to others by way of this value and its copies.
    [[nodiscard]] std::size_t bytes_sent() const { return *sent_; }

private:
    template <class T>
    [[nodiscard]] std::span<T> part(std::span<T> all, index_t rows, int of) const {
        const Share share = share_of(rows, of, size());
        const std::size_t row = rows == 0 ? 0 : all.size() / static_cast<std::size_t>(rows);
        return all.subspan(static_cast<std::size_t>(share.first) * row, static_cast<std::size_t>(share.count()) * row);
    }

    template <class Visit>
    void for_others(const Visit& visit) const {
        for (int i = 1; i < size(); ++i) { // each begins with another
            visit((rank() + i) % size());
        }
    }

    void exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in, std::string_view what) const {
        if (transport_) {
            transport_->exchange(out, in, what);
            for (const Outgoing& message : out) {
                *sent_ += message.bytes.size();
            }
        }
    }

    std::shared_ptr<Transport> transport_;
    std::shared_ptr<std::size_t> sent_ = std::make_shared<std::size_t>(0);
};

} // namespace reel

#pragma once
// What processes need to work together: their numbers, and bytes that go to and fro.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace reel {

/// Bytes for another rank.
struct Outgoing {
    int to;
    std::span<const std::byte> bytes;
};

/// Room for bytes from another rank.
struct Incoming {
    int from;
    std::span<std::byte> bytes;
};

/// Processes, numbered from 0, of which this is one. mpi/environment.hpp has MPI's; a test has one of threads.
class Transport {
public:
    Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    virtual ~Transport() = default;

    [[nodiscard]] virtual int rank() const = 0;
    [[nodiscard]] virtual int size() const = 0;
    /// How many of them are on this rank's machine, itself included.
    [[nodiscard]] virtual int on_this_machine() const = 0;
    [[nodiscard]] virtual std::string machine() const = 0;

    /// Sends and receives all of that at once, and returns when it is done. Between two ranks messages arrive in the
    /// order they were sent in. `what` names it in errors. Throws Error, naming this rank and who it waits for, where
    /// another does not come within the time limit or sends another number of bytes; nothing more can be done then
    /// than to end.
    virtual void exchange(std::span<const Outgoing> out, std::span<const Incoming> in, std::string_view what) = 0;

    /// Those of one colour, in the order of their ranks; called by all.
    [[nodiscard]] virtual std::shared_ptr<Transport> split(int colour) = 0;
};

} // namespace reel

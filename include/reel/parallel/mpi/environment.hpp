#pragma once
// MPI from its beginning to its end. Needs MPI (target reel::parallel).

#include <cstdlib>
#include <exception>
#include <memory>
#include <utility>

#include <reel/parallel/communicator.hpp>
#include <reel/parallel/mpi/mpi_transport.hpp>

namespace reel {

/// Begins MPI, and ends it where all went well. Where an exception passes or a wait failed, the other ranks are not
/// waited for: the program says what happened and ends itself, or all by abort(). One at a time; its thread alone may
/// call what needs MPI.
class Environment {
public:
    explicit Environment(MpiWaiting waiting = {}) : exceptions_(std::uncaught_exceptions()) {
        int begun = 0;
        MPI_Initialized(&begun);
        require(begun == 0, "Environment: MPI has been begun already");
        int given = 0;
        require(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &given) == MPI_SUCCESS &&
                    given >= MPI_THREAD_FUNNELED,
                "Environment: MPI_Init_thread: this MPI does not go with threads; give another");
        world_ = std::make_shared<MpiTransport>(MPI_COMM_WORLD, false, std::move(waiting));
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() {
        if (!world_->broken() && std::uncaught_exceptions() == exceptions_) {
            MPI_Finalize();
        }
    }

    /// All ranks that were started together.
    [[nodiscard]] Communicator world() const { return Communicator(world_); }

    /// Ends all ranks at once, this one with `status`.
    [[noreturn]] void abort(int status) const {
        MPI_Abort(MPI_COMM_WORLD, status);
        std::abort();
    }

private:
    int exceptions_;
    std::shared_ptr<MpiTransport> world_;
};

} // namespace reel

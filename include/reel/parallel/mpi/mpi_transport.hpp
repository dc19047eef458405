#pragma once
// Ranks that MPI started and connects. Needs MPI (target reel::parallel).

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <mpi.h>

#include <reel/core/error.hpp>
#include <reel/core/stopwatch.hpp>
#include <reel/parallel/transport.hpp>

namespace reel {

/// How long ranks wait for each other.
struct MpiWaiting {
    double time_limit = 600; ///< seconds after which who has not come is given up
    /// Called now and then while waiting; may throw to end it, as when the user wants the program to stop.
    std::function<void()> meanwhile{};
};

/// Point to point alone, and none of MPI's own collectives: so it is known who has not come, sums have one order, and
/// every wait has an end.
class MpiTransport final : public Transport {
public:
    /// Takes the communicator over, and frees it where `owned`.
    MpiTransport(MPI_Comm comm, bool owned, MpiWaiting waiting)
        : comm_(comm), owned_(owned), waiting_(std::move(waiting)) {
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
        check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
        char name[MPI_MAX_PROCESSOR_NAME] = {};
        int length = 0;
        check(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name");
        machine_.assign(name, static_cast<std::size_t>(length));
        MPI_Comm here = MPI_COMM_NULL;
        check(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &here), "MPI_Comm_split_type");
        check(MPI_Comm_size(here, &neighbours_), "MPI_Comm_size");
        MPI_Comm_free(&here);
    }
    ~MpiTransport() override {
        int ended = 0;
        MPI_Finalized(&ended);
        if (owned_ && !broken_ && ended == 0) {
            MPI_Comm_free(&comm_);
        }
    }

    [[nodiscard]] int rank() const override { return rank_; }
    [[nodiscard]] int size() const override { return size_; }
    [[nodiscard]] int on_this_machine() const override { return neighbours_; }
    [[nodiscard]] std::string machine() const override { return machine_; }
    /// A wait had no good end: the ranks cannot end MPI together.
    [[nodiscard]] bool broken() const { return broken_; }

    void exchange(std::span<const Outgoing> out, std::span<const Incoming> in, std::string_view what) override {
        require(!broken_, where(what), "another wait had failed before");
        broken_ = true; // until all is well: then nothing waits any more
        std::vector<Request> requests;
        for (const Incoming& message : in) {
            for_pieces(message.bytes, [&](std::byte* piece, int bytes) {
                requests.push_back({message.from, bytes, true});
                check(MPI_Irecv(piece, bytes, MPI_BYTE, message.from, tag, comm_, &requests.back().handle), "MPI_Irecv",
                      what);
            });
        }
        for (const Outgoing& message : out) {
            for_pieces(message.bytes, [&](const std::byte* piece, int bytes) {
                requests.push_back({message.to, bytes, false});
                check(MPI_Isend(piece, bytes, MPI_BYTE, message.to, tag, comm_, &requests.back().handle), "MPI_Isend",
                      what);
            });
        }
        wait(requests, what);
        broken_ = false;
    }

    [[nodiscard]] std::shared_ptr<Transport> split(int colour) override {
        std::byte mark{};
        std::vector<std::byte> marks(static_cast<std::size_t>(size_));
        std::vector<Outgoing> out;
        std::vector<Incoming> in;
        for (int other = 0; other < size_; ++other) {
            if (other != rank_) {
                out.push_back({other, {&mark, 1}});
                in.push_back({other, {&marks[static_cast<std::size_t>(other)], 1}});
            }
        }
        exchange(out, in, "split"); // MPI's own has no time limit: all are there
        MPI_Comm part = MPI_COMM_NULL;
        check(MPI_Comm_split(comm_, colour, rank_, &part), "MPI_Comm_split");
        return std::make_shared<MpiTransport>(part, true, waiting_);
    }

private:
    struct Request {
        int other;
        int bytes;
        bool incoming;
        MPI_Request handle = MPI_REQUEST_NULL;
    };

    static constexpr int tag = 1;
    static constexpr std::size_t largest_piece = std::size_t{1} << 30; // MPI counts in int

    template <class Byte, class Visit>
    static void for_pieces(std::span<Byte> bytes, const Visit& visit) {
        for (std::size_t start = 0; start < bytes.size(); start += largest_piece) {
            visit(bytes.data() + start, static_cast<int>(std::min(largest_piece, bytes.size() - start)));
        }
    }

    [[nodiscard]] std::string where(std::string_view what) const {
        return concat_text("rank ", rank_, " of ", size_, " on ", machine_, ": ", what, ": ");
    }

    void check(int code, const char* call, std::string_view what = "starting") const {
        if (code != MPI_SUCCESS) {
            char text[MPI_MAX_ERROR_STRING] = {};
            int length = 0;
            MPI_Error_string(code, text, &length);
            fail(where(what), call, ": ", std::string(text, static_cast<std::size_t>(length)));
        }
    }

    void wait(std::vector<Request>& requests, std::string_view what) const {
        const Stopwatch watch;
        for (int round = 0;; ++round) {
            bool all = true;
            for (Request& request : requests) {
                if (request.handle != MPI_REQUEST_NULL) {
                    all = finished(request, what) && all;
                }
            }
            if (all) {
                return;
            }
            if (round < 100) { // soon there, most often
                std::this_thread::yield();
                continue;
            }
            std::this_thread::sleep_for(std::chrono::microseconds(round < 2000 ? 20 : 500));
            if (round % 20 == 0 && waiting_.meanwhile) {
                waiting_.meanwhile();
            }
            if (watch.seconds() > waiting_.time_limit) {
                give_up(requests, what);
            }
        }
    }

    [[nodiscard]] bool finished(Request& request, std::string_view what) const {
        int done = 0;
        MPI_Status status;
        check(MPI_Test(&request.handle, &done, &status), "MPI_Test", what);
        if (done != 0 && request.incoming) {
            int count = 0;
            MPI_Get_count(&status, MPI_BYTE, &count);
            require(count == request.bytes, where(what), "rank ", request.other, " sent ", count, " bytes, not ",
                    request.bytes, ": the ranks do different things; give all the same options and files");
        }
        return done != 0;
    }

    [[noreturn]] void give_up(std::vector<Request>& requests, std::string_view what) const {
        std::set<int> missing;
        for (Request& request : requests) {
            if (request.handle != MPI_REQUEST_NULL) {
                missing.insert(request.other);
                if (request.incoming) { // whose memory goes away
                    MPI_Cancel(&request.handle);
                    MPI_Request_free(&request.handle);
                }
            }
        }
        std::string names;
        for (const int other : missing) {
            names += concat_text(names.empty() ? "" : ", ", other);
        }
        fail(where(what), "waited ", waiting_.time_limit, " s for rank ", names,
             ", which does not come: it has ended, hangs, or is that much slower");
    }

    MPI_Comm comm_;
    bool owned_;
    MpiWaiting waiting_;
    std::string machine_;
    int rank_ = 0;
    int size_ = 1;
    int neighbours_ = 1;
    bool broken_ = false;
};

} // namespace reel

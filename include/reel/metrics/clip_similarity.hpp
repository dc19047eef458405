#pragma once
// How alike frames are to each other and to a text, as CLIP sees them. Needs nlohmann-json, utf8proc, zlib (targets
// reel::io, reel::text).

#include <cmath>
#include <limits>

#include <reel/metrics/clip_pictures.hpp>
#include <reel/models/clip_from_pretrained.hpp>
#include <reel/text/clip_tokenizer.hpp>

namespace reel::metrics {

/// Vectors of length 1: of frames, or of one text.
struct Embeddings {
    std::size_t width = 0;
    std::vector<double> values{}; ///< [count, width]

    [[nodiscard]] std::size_t count() const { return width == 0 ? 0 : values.size() / width; }
};

/// Rows of a tensor [count, width], each divided by its length. Throws Error when a row is zero or not finite.
template <Real T, Backend B>
[[nodiscard]] Embeddings unit_rows(const Tensor<T, B>& rows) {
    require(rows.rank() == 2 && rows.size() > 0, "unit_rows: ", rows.shape(), "; expected [count, width]");
    const std::vector<T> values = rows.to_host();
    Embeddings result{static_cast<std::size_t>(rows.shape(1)), {values.begin(), values.end()}};
    for (std::size_t first = 0; first < result.values.size(); first += result.width) {
        const auto row = std::span(result.values).subspan(first, result.width);
        double sum = 0;
        for (const double value : row) {
            sum += value * value;
        }
        require(std::isfinite(sum) && sum > 0, "unit_rows: row ", first / result.width, " has the length ",
                std::sqrt(sum), "; the model gives no direction");
        for (double& value : row) {
            value /= std::sqrt(sum);
        }
    }
    return result;
}

/// The cosine between row `i` of one and row `j` of another.
[[nodiscard]] inline double cosine(const Embeddings& a, std::size_t i, const Embeddings& b, std::size_t j) {
    require(a.width == b.width && i < a.count() && j < b.count(), "cosine: rows ", i, " and ", j, " of ", a.count(),
            " and ", b.count(), " embeddings of widths ", a.width, " and ", b.width);
    double sum = 0;
    for (std::size_t k = 0; k < a.width; ++k) {
        sum += a.values[i * a.width + k] * b.values[j * b.width + k];
    }
    return sum;
}

/// CLIP frame consistency over neighbours: the mean cosine of consecutive frames (Esser et al. 2023, Gen-1,
/// arXiv:2302.03011). NaN for one frame.
[[nodiscard]] inline double neighbour_consistency(const Embeddings& frames) {
    double sum = 0;
    for (std::size_t i = 0; i + 1 < frames.count(); ++i) {
        sum += cosine(frames, i, frames, i + 1);
    }
    return frames.count() > 1 ? sum / static_cast<double>(frames.count() - 1)
                              : std::numeric_limits<double>::quiet_NaN();
}

/// CLIP frame consistency over all pairs of different frames: the mean cosine (Wu et al. 2022, Tune-A-Video,
/// arXiv:2212.11565; Wu et al. 2023, LOVEU-TGVE, arXiv:2310.16003, whose tables show it times 100). NaN for one frame.
[[nodiscard]] inline double pair_consistency(const Embeddings& frames) {
    double sum = 0;
    double pairs = 0;
    for (std::size_t i = 0; i < frames.count(); ++i) {
        for (std::size_t j = i + 1; j < frames.count(); ++j) {
            sum += cosine(frames, i, frames, j);
            ++pairs;
        }
    }
    return pairs > 0 ? sum / pairs : std::numeric_limits<double>::quiet_NaN();
}

/// CLIP text alignment: 100 times the mean cosine between the frames and the text (the same papers). Not cut off at 0.
[[nodiscard]] inline double text_alignment(const Embeddings& frames, const Embeddings& text) {
    require(frames.count() > 0 && text.count() == 1, "text_alignment: ", frames.count(), " frames and ", text.count(),
            " texts; expected at least one frame and one text");
    double sum = 0;
    for (std::size_t i = 0; i < frames.count(); ++i) {
        sum += cosine(frames, i, text, 0);
    }
    return 100 * sum / static_cast<double>(frames.count());
}

/// What CLIP says of a clip and a text.
struct ClipMeasures {
    double neighbours = 0; ///< neighbour_consistency()
    double pairs = 0;      ///< pair_consistency()
    double text = 0;       ///< text_alignment()
};

/// A CLIP with its tokenizer and its preprocessing:
///
///     const auto clip = reel::metrics::ClipScorer<float>::load(cpu, "clip-vit-base-patch32");
///     const auto scores = clip.measure(frames, "a man is skiing");
template <Real T, Backend B = Cpu>
struct ClipScorer {
    CLIPModel<T, B> model;
    CLIPTokenizer tokenizer;
    ClipPreprocessing preprocessing;

    /// Reads a folder of transformers: config.json, weights, preprocessor_config.json, vocab.json, merges.txt,
    /// tokenizer_config.json. Throws Error for what is missing, broken or unsupported, or does not fit together.
    [[nodiscard]] static ClipScorer load(B& backend, const std::filesystem::path& folder) {
        ClipScorer scorer{load_clip_model<T>(backend, folder), CLIPTokenizer::from_pretrained(folder),
                          read_clip_preprocessing(ConfigReader::from_file(folder / "preprocessor_config.json"))};
        const CLIPConfig& config = scorer.model.config;
        require(scorer.preprocessing.crop == config.vision.image_size, folder.string(),
                ": preprocessor_config.json crops to ", scorer.preprocessing.crop, " pixels, config.json expects ",
                config.vision.image_size);
        require(static_cast<index_t>(scorer.tokenizer.max_length()) <= config.text.max_position_embeddings,
                folder.string(), ": the tokenizer gives ", scorer.tokenizer.max_length(),
                " tokens, config.json expects at most ", config.text.max_position_embeddings);
        return scorer;
    }

    /// One embedding per frame. Frames go through the model one by one, in the memory of one.
    [[nodiscard]] Embeddings frames(const Frames& clip) const {
        require_frames(clip, "ClipScorer");
        Embeddings all;
        for (int f = 0; f < clip.count; ++f) {
            const auto bytes = clip.frame(f);
            const Frames frame{1, clip.height, clip.width, {bytes.begin(), bytes.end()}};
            const Embeddings one = unit_rows(model.image_features(clip_pixels<T>(backend(), frame, preprocessing)));
            all.width = one.width;
            all.values.insert(all.values.end(), one.values.begin(), one.values.end());
        }
        return all;
    }

    /// The embedding of a text; what is beyond the tokenizer's length is cut off.
    [[nodiscard]] Embeddings text(const std::string& prompt) const {
        return unit_rows(model.text_features(tokenizer.encode_with_details(prompt).ids));
    }

    /// All measures of a clip.
    [[nodiscard]] ClipMeasures measure(const Frames& clip, const std::string& prompt) const {
        const Embeddings seen = frames(clip);
        return {neighbour_consistency(seen), pair_consistency(seen), text_alignment(seen, text(prompt))};
    }

    [[nodiscard]] B& backend() const { return model.visual_projection.weight.value().backend(); }
};

} // namespace reel::metrics

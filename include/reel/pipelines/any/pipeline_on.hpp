#pragma once
// The stages of AnyPipeline on one backend, for the file that is compiled for it. Needs reel::io and reel::text.

#include <map>
#include <utility>

#include <reel/core/progress.hpp>
#include <reel/models/autoencoder_kl.hpp>
#include <reel/parallel/clips_over_ranks.hpp>
#include <reel/pipelines/any/networks.hpp>
#include <reel/pipelines/any/sampler_on.hpp>
#include <reel/pipelines/control/controlled_edit.hpp>
#include <reel/pipelines/edit_clip.hpp>
#include <reel/pipelines/model_notes.hpp>
#include <reel/pipelines/not_finite.hpp>
#include <reel/pipelines/prompt_text.hpp>
#include <reel/pipelines/text_to_image.hpp>
#include <reel/text/weighted_prompt.hpp>

namespace reel {

/// Networks of one backend, stage by stage.
template <Backend B>
class PipelineOn final : public AnyPipeline {
public:
    using X = Tensor<float, B>;

    PipelineOn(const PipelineHost& host, std::unique_ptr<Networks<B>> networks)
        : host_(host), networks_(std::move(networks)), whole_{networks_.get()}, unet_{&whole_, &ranks} {}

    [[nodiscard]] const PipelineFacts& facts() const override { return networks_->facts(); }

    [[nodiscard]] std::string unseen(const std::string& prompt) const override {
        const Encoding encoding = encode_weighted(networks_->tokenizer(), prompt, facts().prompt_syntax).encoding;
        return encoding.truncated ? encoding.dropped_text : "";
    }
    [[nodiscard]] std::string note_on(const std::string& prompt) const override {
        return prompt_note(networks_->tokenizer(), prompt);
    }
    [[nodiscard]] index_t max_tokens() const override {
        return static_cast<index_t>(networks_->tokenizer().max_length());
    }

    [[nodiscard]] AnyTensor encode_prompts(std::span<const std::string> prompts) const override {
        std::map<std::string, X> known;
        std::vector<X> texts;
        for (const std::string& prompt : prompts) {
            if (!known.contains(prompt)) {
                known.emplace(prompt, text_of(prompt));
            }
            texts.push_back(known.at(prompt));
        }
        return texts.size() == 1 ? texts.front() : concat_rows(std::span<const X>(texts));
    }
    [[nodiscard]] AnyTensor encode(const Frames& clip) const override {
        look_at(PipelinePart::encoder);
        Bar bar(*this, "encode", clip.count);
        return seen(StageResult::moments, networks_->encode(clip, [&] { bar.step(); }));
    }
    void paint_inside(const Frames& clip, const PixelMask& mask, std::uint64_t seed) override {
        if (facts().inpaints) {
            look_at(PipelinePart::encoder);
            Bar bar(*this, "encode", clip.count);
            networks_->paint_inside(clip, mask, seed, [&] { bar.step(); });
        }
    }
    [[nodiscard]] AnyTensor sample_latents(const AnyTensor& moments, const TuningNoise& noise,
                                           index_t draw) const override {
        const X& x = here(moments);
        const Shape shape = x.shape().with(3, x.shape(3) / 2);
        const auto random = noise_of(networks_->backend(), noise, shape, draw, facts().training_timesteps);
        return reel::sample_latents(x, random.posterior, networks_->scaling_factor());
    }
    [[nodiscard]] AnyTensor mean_latents(const AnyTensor& moments) const override {
        const X& x = here(moments);
        return scale(slice_channels(x, 0, x.shape(3) / 2), static_cast<float>(networks_->scaling_factor()));
    }
    [[nodiscard]] AnyTensor decode(const AnyTensor& latents) const override {
        look_at(PipelinePart::decoder);
        Bar bar(*this, "decode", latents.shape(0));
        const X& x = here(latents);
        return seen(StageResult::decoded, rows_over_ranks(
                                              ranks, networks_->backend(), x.shape(0),
                                              [&](index_t first, index_t last) {
                                                  return networks_->decode(x.slice(first, last), [&] { bar.step(); });
                                              },
                                              "decoded frames"));
    }

    [[nodiscard]] AnyTensor normal(const Shape& shape, std::uint64_t seed,
                                   std::span<const std::uint64_t> streams) const override {
        const auto parts = static_cast<index_t>(streams.size());
        require(parts > 0 && shape.rank() > 0 && shape[0] % parts == 0, "normal: ", parts, " streams for ", shape);
        X noise(networks_->backend(), shape);
        const index_t rows = shape[0] / parts;
        for (index_t i = 0; i < parts; ++i) {
            fill_normal(networks_->backend(), noise.slice(i * rows, (i + 1) * rows), seed,
                        streams[static_cast<std::size_t>(i)]);
        }
        return noise;
    }
    [[nodiscard]] AnyTensor upload(const HostTensor& tensor, const std::string& what) const override {
        return from_file<float>(networks_->backend(), tensor, what);
    }
    [[nodiscard]] AnyTensor slice(const AnyTensor& x, index_t first, index_t last) const override {
        return here(x).slice(first, last);
    }

    [[nodiscard]] AnyStart invert(const EditRequest& request, const AnyTensor& latents, bool keep_trajectory,
                                  const EachStep& each) const override {
        return handle(invert_clip(editor(request), here(latents), text_of(request.inverted_under()), keep_trajectory,
                                  seen_by(each, StageResult::inverted)));
    }
    [[nodiscard]] AnyStart noise_start(const EditRequest& request, const AnyTensor& latents) const override {
        return handle(reel::noise_start(editor(request), here(latents)));
    }
    [[nodiscard]] AnyPlace find_place(const EditRequest& request, const AnyStart& start,
                                      const std::string& edited) const override {
        if (!request.edit.masked() && !request.edit.edit_friendly()) {
            return {start.noise};
        }
        const ClipStart<float, B> from{start_of(start), outside(start.trajectory), brought_here(start.allowed)};
        const auto place = reel::find_place(editor(request), from, text_of(request.prompt), text_of(edited));
        return {place.start, place.mask, place.skipped};
    }
    [[nodiscard]] AnyTensor sample_edit(const EditRequest& request, const AnyTrajectory& trajectory,
                                        const AnyPlace& place, const std::string& edited,
                                        const EachStep& each) const override {
        const auto& interval = request.edit.guidance_interval;
        const Guidance<float, B> guidance{text_of(edited),
                                          text_of(request.away()),
                                          request.sampling.guidance_scale,
                                          {interval.at(0), interval.at(1)}};
        const EditPlace<float, B> there{here(place.start), place.mask.defined() ? here(place.mask) : X(),
                                        place.skipped};
        const auto see = seen_by(each, StageResult::sampled);
        Trajectory<float, B> clip = outside(trajectory);
        if (!request.edit.steered()) {
            return reel::sample_edit(editor(request), clip, there, guidance, see);
        }
        const auto editing = editor(request, whole_); // whose clips look at each other
        if (clip.timesteps.empty()) {                 // what leads to words goes by them
            auto sampler = editing.sampler;
            sampler.set_timesteps(request.sampling.num_inference_steps);
            clip.timesteps.assign(sampler.timesteps().rbegin(), sampler.timesteps().rend());
        }
        const ControlTexts texts = texts_for(request.edit.control, request.prompt, edited);
        std::vector<EditConcept<float, B>> concepts;
        for (const ConceptText& named : texts.concepts) {
            concepts.push_back({.text = text_of(named.text),
                                .tokens = named.tokens,
                                .scale = named.scale,
                                .threshold = request.edit.control.concept_threshold});
        }
        X result;
        networks_->under_control({request.edit.control, texts, guidance.text,
                                  request.seed ^ static_cast<std::uint64_t>(NoiseStream::keyframes), concepts},
                                 [&](AnyControl<B>& control) {
                                     result = sample_controlled_edit(editing, clip, there, guidance,
                                                                     text_of(request.inverted_under()), control, see);
                                 });
        return result;
    }
    void check_control(const ControlOptions& control, const std::string& prompt,
                       const std::string& edited) const override {
        if (control.given() || control.excites()) {
            static_cast<void>(texts_for(control, prompt, edited));
        }
    }
    [[nodiscard]] AnyTensor sample(const SampleRequest& request, const EachStep& each) const override {
        look_at(PipelinePart::unet);
        AnyScheduler<float, B> sampler = sampler_on(networks_->backend(), host_, request.sampler);
        sampler.set_timesteps(request.steps);
        const X start = request.clean.defined()
                            ? sampler.add_noise(here(request.clean), here(request.noise), sampler.timesteps().front())
                            : scale(here(request.noise), static_cast<float>(sampler.init_noise_sigma()));
        const Sampling<float, B> sampling{
            .guidance = {here(request.text), here(request.negative), request.guidance_scale},
            .num_inference_steps = request.steps};
        const auto noise = [&](const Shape& shape) -> X { return here(request.draw(shape)); };
        return sampling.guidance.text.shape(0) == 1
                   ? sample_clip(unet_, sampler, start, sampling, noise, seen_by(each))
                   : sample_pictures(unet_, sampler, start, sampling, noise, seen_by(each));
    }

    [[nodiscard]] std::string fingerprint() const override { return networks_->fingerprint(); }
    [[nodiscard]] std::size_t mapped_bytes(PipelinePart part) const override { return networks_->mapped_bytes(part); }
    void initialize(const Replay& replay) override { networks_->initialize(replay); }
    void prepare_training(const TuneOptions& options, bool reference_checkpointing, bool keep) override {
        networks_->prepare_training(options, reference_checkpointing, keep);
    }
    [[nodiscard]] std::unique_ptr<AnyTuning> tune(const AnyTensor& moments, const AnyTensor& text,
                                                  const TuneOptions& options, const TuningNoise& noise) override {
        look_at(PipelinePart::unet);
        auto tuning = networks_->tune(here(moments), here(text), options, noise);
        tuning->allow_nonfinite = watch.allow_nonfinite;
        tuning->share_draws(ranks);
        return tuning;
    }
    void stop_training() override { networks_->stop_training(); }
    [[nodiscard]] StateDict trained() const override { return networks_->trained(); }
    void set_trained(const StateDict& trained, const std::string& where) override {
        networks_->set_trained(trained, where);
    }
    void restore() override { networks_->restore(); }
    void save_tuned(const std::filesystem::path& output) const override { networks_->save_tuned(output); }
    void save_lora(const std::filesystem::path& file, LoraNaming names) const override {
        networks_->save_lora(file, names);
    }

private:
    /// A stage's bar, where bars are wanted, and a look at whether to go on.
    class Bar {
    public:
        Bar(const PipelineOn& pipeline, std::string_view stage, index_t steps) : pipeline_(pipeline) {
            if (pipeline.watch.bars) {
                bar_ = std::make_unique<Progress>(std::string(stage), static_cast<std::size_t>(steps));
            }
        }
        void step() {
            if (bar_) {
                bar_->step();
            }
            if (pipeline_.watch.after_step) {
                pipeline_.watch.after_step();
            }
        }

    private:
        const PipelineOn& pipeline_;
        std::unique_ptr<Progress> bar_;
    };

    struct Watch {
        const PipelineOn& pipeline;
        [[nodiscard]] Bar operator()(std::string_view stage, index_t steps) const { return {pipeline, stage, steps}; }
    };

    [[nodiscard]] static const X& here(const AnyTensor& x) { return x.on<B>(); }
    [[nodiscard]] X brought_here(const AnyTensor& x) const {
        return x.defined() ? X::from_host(networks_->backend(), x.shape(), std::span<const float>(x.to_host())) : X();
    }
    [[nodiscard]] static X start_of(const AnyStart& start) { return start.noise.defined() ? here(start.noise) : X(); }

    void look_at(PipelinePart part) const {
        if (watch.looks_at) {
            watch.looks_at(part);
        }
    }

    [[nodiscard]] X text_of(const std::string& prompt) const {
        look_at(PipelinePart::text_layers); // of the table of tokens a few rows
        const WeightedEncoding read = encode_weighted(networks_->tokenizer(), prompt, facts().prompt_syntax);
        const X text = networks_->text(std::span<const std::int32_t>(read.encoding.ids));
        return read.is_plain() ? text : weighted_text(text, std::span<const float>(read.weights));
    }

    [[nodiscard]] ControlTexts texts_for(const ControlOptions& options, const std::string& prompt,
                                         const std::string& edited) const {
        require(!options.given() || !facts().takes_guidance_scale, "--control ", option_text(options.control), ": ",
                facts().folder.string(), " is distilled for guidance, and its two halves cannot be told apart; leave ",
                "the option out");
        return control_texts(options, networks_->tokenizer(), prompt, edited);
    }

    [[nodiscard]] auto editor(const EditRequest& request) const { return editor(request, unet_); }
    template <class Unet>
    [[nodiscard]] ClipEditor<Unet, AnyScheduler<float, B>, Watch> editor(const EditRequest& request,
                                                                         const Unet& unet) const {
        look_at(PipelinePart::unet);
        return {unet,
                facts().sampling,
                sampler_on(networks_->backend(), host_, request.sampler),
                request.sampling,
                request.edit,
                request.seed,
                Watch{*this}};
    }

    /// Before anything is made of it: NaN becomes black, white or any colour.
    void check_finite(const char* what, const X& x) const {
        if (!watch.allow_nonfinite) {
            const std::vector<float> values = x.to_host();
            require_finite_values(values, what, [&] { return networks_->why_not_finite(); });
        }
    }

    [[nodiscard]] AnyTensor seen(StageResult what, AnyTensor result) const {
        check_finite(what == StageResult::moments ? "the encoded clip's numbers" : "the decoded pixels", here(result));
        if (watch.sees) {
            watch.sees(what, result);
        }
        return result;
    }

    [[nodiscard]] auto seen_by(const EachStep& each, std::optional<StageResult> what = std::nullopt) const {
        return [this, &each, what](index_t k, const X& x) {
            check_finite(what == StageResult::inverted ? "the inverted latents" : "the sampled latents", x);
            if (what && watch.sees) {
                watch.sees(*what, x);
            }
            if (each) {
                each(k, x);
            }
        };
    }

    [[nodiscard]] static Trajectory<float, B> outside(const AnyTrajectory& trajectory) {
        Trajectory<float, B> result{{}, trajectory.timesteps};
        for (const AnyTensor& latents : trajectory.latents) {
            result.latents.push_back(here(latents));
        }
        for (const AnyTensor& output : trajectory.outputs) {
            result.outputs.push_back(here(output));
        }
        return result;
    }

    [[nodiscard]] static AnyStart handle(const ClipStart<float, B>& start) {
        AnyStart result{start.noise, {{}, start.trajectory.timesteps}};
        for (const X& latents : start.trajectory.latents) {
            result.trajectory.latents.emplace_back(latents);
        }
        for (const X& output : start.trajectory.outputs) {
            result.trajectory.outputs.emplace_back(output);
        }
        return result;
    }

    PipelineHost host_;
    std::unique_ptr<Networks<B>> networks_;
    NetworksUnet<B> whole_;
    ClipsOverRanks<NetworksUnet<B>> unet_;
};

} // namespace reel

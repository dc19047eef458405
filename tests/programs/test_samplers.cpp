// insert_object with other samplers: by name, from a file, and one that is compiled in.

#include <reel/io/config/json.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/schedulers/scheduler_registry.hpp>

#include "support/golden.hpp"
#include "support/programs.hpp"

using namespace reel_test;

namespace {

const std::string edit_gif = "edit-1-a_man_is_driving.gif";

/// A folder with a clip, and the command that edits it without tuning.
class Workplace : public TemporaryFolder {
public:
    Workplace() { write_clip(*this / "clip.mp4", 2); }

    /// `more` replaces options that are there, and adds others.
    [[nodiscard]] Words command(const std::string& output, const Words& more = {}) const {
        return small_edit(*this, output, Words{"--num_inv_steps", "6", "--num_inference_steps", "6"} + more);
    }

    /// Runs it and gives the edit.
    [[nodiscard]] std::string edited(const std::string& output, const Words& more) const {
        INFO(output);
        run_well(command(output, more));
        CHECK(temporaries_in(*this / output).empty());
        return read_text(*this / output / edit_gif);
    }

    /// The manifest's sampler.
    [[nodiscard]] nlohmann::json sampler(const std::string& output) const {
        return reel::read_json(*this / output / "manifest.json").at("sampler");
    }

    /// One line of error with `texts`, and nothing written.
    void refused(const Words& more, const Words& texts) const {
        const Ended ended = run(command("refused", more));
        INFO(ended.err);
        CHECK(ended.status == 1);
        CHECK(lines_of(ended.err).size() == 1);
        CHECK(ended.err.starts_with("insert_object: error: "));
        for (const std::string& text : texts) {
            INFO("expected: ", text);
            CHECK(contains(ended.err, text));
        }
        CHECK((!std::filesystem::exists(*this / "refused") || files_in(*this / "refused").empty()));
    }

    /// A scheduler_config.json for the model, with changes.
    [[nodiscard]] std::string config(const std::string& name, const nlohmann::json& changes) const {
        nlohmann::json json = reel::read_json(sd1_model / "scheduler" / "scheduler_config.json");
        json.update(changes);
        put_text(*this / name, json.dump());
        return *this / name;
    }
};

Words sampled_with(const std::string& name) {
    return {"--scheduler", name, "--start", "noise"};
}

std::vector<double> last_latents(const Path& file) {
    const reel::StateDict tensors = reel::read_safetensors(file);
    const std::vector<double> all = numbers(tensors.at("sample.latents"));
    const auto steps = static_cast<std::size_t>(tensors.at("sample.latents").shape.at(0));
    return {all.end() - static_cast<std::ptrdiff_t>(all.size() / steps), all.end()};
}

std::vector<double> first_latents(const Path& file) {
    const reel::StateDict tensors = reel::read_safetensors(file);
    std::vector<double> all = numbers(tensors.at("inv.latents"));
    all.resize(all.size() / static_cast<std::size_t>(tensors.at("inv.latents").shape.at(0)));
    return all;
}

} // namespace

TEST_CASE("every sampler edits by its short name, and again from the configuration that the manifest holds") {
    const Workplace work;
    std::map<std::string, std::string> edits;
    for (const reel::SchedulerAlias& alias : reel::scheduler_aliases) {
        const std::string name(alias.name);
        if (name == "edm_euler") {
            work.refused(sampled_with(name), {(sd1_model / "scheduler" / "scheduler_config.json").string(),
                                              "describes another kind of model than a EDMEulerScheduler's"});
            continue;
        }
        edits[name] = work.edited(name, sampled_with(name));
        const nlohmann::json sampler = work.sampler(name);
        CHECK(sampler.at("_class_name") == std::string(alias.class_name));
        put_text(work / "sampler.json", sampler.dump());
        CHECK(work.edited(name + " again", {"--scheduler_config", work / "sampler.json", "--start", "noise"}) ==
              edits[name]);
    }
    // the model's configuration leaves Runge-Kutta steps out
    CHECK(edits.at("pndm") == edits.at("plms"));
    edits.erase("plms");
    for (const auto& [name, edit] : edits) {
        for (const auto& [other, its] : edits) {
            CHECK((name == other || edit != its));
        }
    }
    // class names are names too
    CHECK(work.edited("class", sampled_with("HeunDiscreteScheduler")) == edits.at("heun"));
    CHECK(work.edited("another class", sampled_with("DPMSolverSinglestepScheduler")) == edits.at("dpm++_2s"));
}

TEST_CASE("DDIM by name is what is there without a name, from the inversion and with eta") {
    const Workplace work;
    const std::string edit = work.edited("none", {});
    CHECK(work.edited("name", {"--scheduler", "ddim"}) == edit);
    CHECK(work.edited("file", {"--scheduler", "DDIMScheduler", "--scheduler_config", sd1_model / "scheduler"}) == edit);
    CHECK(work.sampler("name") == work.sampler("none"));
    put_text(work / "sampler.json", work.sampler("none").dump());
    CHECK(work.edited("manifest", {"--scheduler_config", work / "sampler.json"}) == edit);
    const std::string drawn = work.edited("eta", {"--eta", "0.7"});
    CHECK(drawn != edit);
    CHECK(work.edited("eta by name", {"--scheduler", "ddim", "--eta", "0.7"}) == drawn);
    CHECK(work.edited("eta of TCD", {"--scheduler", "tcd", "--start", "noise", "--eta", "0.7"}) !=
          work.edited("TCD", {"--scheduler", "tcd", "--start", "noise"}));
}

TEST_CASE("samplers that draw are decided by the seed") {
    const Workplace work;
    for (const std::string name : {"euler_a", "ddpm", "dpm++_2m_sde", "dpm2_a", "lcm"}) {
        const std::string first = work.edited(name, sampled_with(name));
        CHECK(work.edited(name + " again", sampled_with(name)) == first);
        CHECK(work.edited(name + " other", sampled_with(name) + Words{"--seed", "34"}) != first);
    }
}

TEST_CASE("noise to start from has the sampler's own scale") {
    // With leading spacing, Euler's method is DDIM in other units.
    const Workplace work;
    const std::string config =
        work.config("leading.json",
                    {{"_class_name", "DDIMScheduler"}, {"set_alpha_to_one", true}, {"timestep_spacing", "leading"}});
    for (const std::string name : {"ddim", "euler"}) {
        static_cast<void>(work.edited(name, sampled_with(name) + Words{"--scheduler_config", config, "--save_tensors",
                                                                       work / (name + ".safetensors")}));
    }
    CHECK(relative_error(last_latents(work / "euler.safetensors"), last_latents(work / "ddim.safetensors")) < 1e-4);
}

TEST_CASE("an inversion and its sampler lead back to the clip") {
    // with a model that is trained: the flow of random weights magnifies every error
    const Workplace work;
    const std::string model = std::filesystem::absolute("../examples/model");
    for (const std::string name : {"ddim", "dpm++_2m", "dpm++_3m"}) {
        const Path tensors = work / (name + ".safetensors");
        run_well(work.command(name, {"--model",
                                     model,
                                     "--width",
                                     "64",
                                     "--height",
                                     "64",
                                     "--prompt",
                                     "a man is swinging",
                                     "--edit",
                                     "a man is swinging",
                                     "--scheduler",
                                     name,
                                     "--inversion_prompt",
                                     "source",
                                     "--guidance_scale",
                                     "1",
                                     "--num_inv_steps",
                                     "20",
                                     "--num_inference_steps",
                                     "20",
                                     "--save_tensors",
                                     tensors}));
        const double error = relative_error(last_latents(tensors), first_latents(tensors));
        INFO(name, ": ", error);
        CHECK(error < 0.25);
    }
    // the model's configuration has other levels; the inversion's count
    CHECK(work.sampler("dpm++_2m").at("timestep_spacing") == "linspace");
    CHECK(work.sampler("dpm++_2m").at("final_sigmas_type") == "sigma_min");
}

TEST_CASE("an inversion that is named is the sampler's own, and another's is refused") {
    const Workplace work;
    CHECK(work.edited("named ddim", {"--inversion", "ddim"}) == work.edited("own ddim", {}));
    CHECK(work.edited("named dpmpp", {"--scheduler", "dpm++_2m", "--inversion", "dpmpp"}) ==
          work.edited("own dpmpp", {"--scheduler", "dpm++_2m"}));
    work.refused({"--inversion", "dpmpp"},
                 {"--inversion dpmpp: it undoes the steps of DPMSolverMultistepScheduler, and the sampler is "
                  "DDIMScheduler; use --scheduler dpm++_2m, or leave the option out"});
    work.refused({"--inversion", "ddim", "--scheduler", "dpm++_2m"},
                 {"--inversion ddim: it undoes the steps of DDIMScheduler", "use --scheduler ddim"});
    work.refused({"--inversion", "ddim", "--start", "noise"},
                 {"--inversion ddim: with --start noise nothing is inverted; leave one of the two out"});
}

TEST_CASE("edit-friendly inversion leads every sampler that draws back to the clip, and edits it") {
    const Workplace work;
    const Words friendly{"--inversion", "edit_friendly"};
    const std::vector<std::pair<std::string, Words>> samplers{
        {"ddim", {"--eta", "1"}}, {"ddpm", {}}, {"euler_a", {}},
        {"dpm++_2m_sde", {}},     {"lcm", {}},  {"tcd", {"--eta", "0.5"}}};
    for (const auto& [name, more] : samplers) {
        INFO(name);
        const Words sampler = friendly + Words{"--scheduler", name} + more;
        const Path tensors = work / (name + ".safetensors");
        const Words as_it_is{"--edit",
                             "a man is skiing",
                             "--inversion_prompt",
                             "source",
                             "--guidance_scale",
                             "1",
                             "--inversion_skip",
                             "0",
                             "--save_tensors",
                             tensors};
        static_cast<void>(run_well(work.command(name + " back", sampler + as_it_is)));
        CHECK(relative_error(last_latents(tensors), first_latents(tensors)) < 1e-4);
        const reel::StateDict saved = reel::read_safetensors(tensors);
        CHECK(saved.at("inv.latents").shape == std::vector<std::int64_t>{7, 1, 4, 2, 4, 4});
        CHECK(saved.at("sample.latents").shape.at(0) == 6);
        const std::string edit = work.edited(name, sampler);
        CHECK(work.edited(name + " again", sampler) == edit);
        CHECK(work.edited(name + " other noise", sampler + Words{"--seed", "34"}) != edit);
        CHECK(work.edited(name + " whole", sampler + Words{"--inversion_skip", "0"}) != edit);
    }
    // what needs the sampler, the steps or the trajectory
    const Words ddpm = friendly + Words{"--scheduler", "ddpm"};
    const Path tensors = work / "skipped.safetensors";
    static_cast<void>(work.edited("more", ddpm + Words{"--mask_box", "0,0,0.5,1", "--mask", "difference", "--overlay",
                                                       "--preview_every", "2", "--save_tensors", tensors,
                                                       "--mixed_precision", "bf16"}));
    CHECK(reel::read_safetensors(tensors).at("sample.latents").shape.at(0) == 4); // 0.36 of 6 steps: two are left out
    const nlohmann::json manifest = reel::read_json(work / "more" / "manifest.json");
    CHECK(manifest.at("options").at("inversion") == "edit_friendly");
    CHECK(manifest.at("outside_mask").at("changed") == 0);
    CHECK(std::filesystem::exists(work / "more" / "preview-1.gif"));
    const Ended planned = run(work.command("planned", ddpm + Words{"--mask_box", "0,0,0.5,1", "--plan"}));
    INFO(planned.out, planned.err);
    CHECK(planned.status == 0);
    CHECK(contains(planned.out, "sample 1"));
}

TEST_CASE("edit-friendly inversion is refused where it cannot be, before the work") {
    const Workplace work;
    const Words friendly{"--inversion", "edit_friendly"};
    work.refused(friendly,
                 {"--inversion edit_friendly: edit-friendly inversion: DDIMScheduler draws no noise at "
                  "timestep ",
                  "; use one that does (DDPM, DDIM with eta above 0, an ancestral sampler, sde-dpmsolver++)"});
    work.refused(friendly + Words{"--scheduler", "euler"}, {"EulerDiscreteScheduler draws no noise at timestep "});
    work.refused(friendly + Words{"--scheduler", "dpm2_a"},
                 {"KDPM2AncestralDiscreteScheduler asks the model twice at timestep ",
                  "; use a sampler with one model call per step"});
    work.refused(friendly + Words{"--scheduler", "ddpm", "--num_inv_steps", "5"},
                 {"--inversion edit_friendly: --num_inv_steps is 5 and --num_inference_steps 6; they must be equal"});
    work.refused(friendly + Words{"--eta", "1", "--start", "noise"}, {"with --start noise nothing is inverted"});
    work.refused(friendly + Words{"--eta", "1", "--mask", "delta"}, {"with --mask delta sampling starts from a draft"});
    work.refused(friendly + Words{"--eta", "1", "--mask", "difference", "--mask_noise", "inversion"},
                 {"--inversion edit_friendly: with --mask_noise inversion "});
    work.refused(friendly + Words{"--eta", "1", "--reference_inversion"},
                 {"--inversion edit_friendly: --reference_inversion is of DDIM's"});
    work.refused(friendly + Words{"--scheduler", "lcm", "--num_inv_steps", "60", "--num_inference_steps", "60"},
                 {"num_inference_steps 60: LCMScheduler: "});
}

TEST_CASE("outside a mask the clip stays, whatever the sampler") {
    const Workplace work;
    std::map<std::string, std::vector<double>> latents;
    const auto edit = [&](const std::string& name, const std::string& mask, const std::string& start) {
        const std::string output = name + " " + mask + " " + start;
        static_cast<void>(
            work.edited(output, {"--scheduler", name, "--start", start, "--mask", mask, "--inverted_latents", "mean",
                                 "--delta_steps", "2", "--delta_shrinkage", "0", "--mask_smooth", "0",
                                 "--mask_threshold", "0.9", "--save_tensors", work / (output + ".safetensors")}));
        latents[output] = last_latents(work / (output + ".safetensors"));
        return read_text(work / output / "mask-1.gif");
    };
    const auto same = [&](const std::string& a, const std::string& b) {
        std::size_t equal = 0;
        for (std::size_t i = 0; i < latents.at(a).size(); ++i) {
            equal += latents.at(a)[i] == latents.at(b)[i] ? 1 : 0;
        }
        return static_cast<double>(equal) / static_cast<double>(latents.at(a).size());
    };
    for (const std::string mask : {"difference", "delta"}) {
        const std::string place = edit("ddim", mask, "inversion");
        const double outside = [&] {
            CHECK(edit("dpm++_2m", mask, "inversion") == place);
            return same("ddim " + mask + " inversion", "dpm++_2m " + mask + " inversion");
        }();
        INFO(mask, ": ", outside, " outside");
        CHECK(outside > 0.02);
        CHECK(outside < 0.98);
        const Words others = mask == "delta" ? Words{"lms", "euler", "dpm++_2m", "unipc", "tcd"}
                                             : Words{"ddpm",     "lms",   "euler", "euler_a", "dpm++_2m",
                                                     "dpm++_2s", "unipc", "deis",  "lcm",     "tcd"};
        for (const std::string& name : others) {
            INFO(name);
            CHECK(edit(name, mask, "noise") == place);
            CHECK(same("ddim " + mask + " inversion", name + " " + mask + " noise") == doctest::Approx(outside));
        }
        for (const std::string name : {"pndm", "heun", "dpm2", "dpm2_a"}) {
            work.refused(sampled_with(name) + Words{"--mask", mask},
                         {"--mask " + mask + ": ",
                          "Scheduler calls the model " + std::string(name == "pndm" ? "7" : "11") +
                              " times for 6 steps, and the clip cannot be put back",
                          "use a sampler with one call a step, or no mask"});
        }
    }
    work.refused(sampled_with("euler") + Words{"--mask", "difference", "--mask_noise", "inversion"},
                 {"--mask_noise inversion: with --start noise nothing is inverted; use --mask_noise draws"});
    work.refused(
        {"--scheduler_config",
         work.config("karras.json", {{"_class_name", "DPMSolverMultistepScheduler"}, {"use_karras_sigmas", true}}),
         "--mask", "difference"},
        {"--mask difference: DPMSolverMultistepScheduler with this configuration passes noise levels that its "
         "inversion does not",
         "--start noise"});
}

TEST_CASE("samplers and configurations that cannot work are refused before the work") {
    const Workplace work;
    work.refused(
        {"--scheduler", "dpm++_2n"},
        {"--scheduler: \"dpm++_2n\" is no scheduler that reel has (did you mean \"dpm++_2", "expected one of: "});
    work.refused({"--scheduler", "euler"},
                 {"--start inversion: EulerDiscreteScheduler: no inversion leads to a start for this sampler; use "
                  "DDIMScheduler or DPMSolverMultistepScheduler, edit-friendly inversion where it draws noise "
                  "(--inversion edit_friendly), or start from noise (--start noise)"});
    work.refused({"--scheduler", "dpm++_2m_sde"}, {"--start inversion: DPMSolverMultistepInverseScheduler: "
                                                   "algorithm_type sde-dpmsolver++ draws noise"});
    work.refused({"--scheduler", "dpm++_2m", "--reference_inversion"},
                 {"--reference_inversion: it is of DDIM's inversion, and the sampler is DPMSolverMultistepScheduler"});
    work.refused(sampled_with("euler") + Words{"--eta", "0.5"},
                 {"EulerDiscreteScheduler has no eta, but 0.5 is asked for; leave it at 0"});

    const auto refused_file = [&](const nlohmann::json& changes, const Words& texts) {
        const std::string file = work.config("changed.json", changes);
        work.refused({"--scheduler_config", file}, Words{file} + texts);
    };
    refused_file({{"beta_strat", 0.1}}, {"\"beta_strat\"", "did you mean \"beta_start\"?"});
    refused_file({{"_class_name", "EulerDescreteScheduler"}},
                 {"\"_class_name\": \"EulerDescreteScheduler\" is no scheduler that reel has (did you mean "
                  "\"EulerDiscreteScheduler\"?)"});
    refused_file({{"prediction_type", "v_prediction"}},
                 {"PNDMScheduler expects a model of prediction type v_prediction, but " + sd1_model.string() +
                      " is of type epsilon",
                  "give the configuration that belongs to the model"});
    refused_file({{"beta_schedule", "linear"}},
                 {"\"beta_schedule\" is \"linear\", but the model was trained with \"scaled_linear\""});
    refused_file({{"_class_name", "EDMEulerScheduler"}}, {"EDM's preconditioning"});
    put_text(work / "list.json", "[1, 2]");
    work.refused({"--scheduler_config", work / "list.json"}, {work / "list.json", "expected a JSON object"});
    work.refused({"--scheduler_config", work / "none.json"}, {work / "none.json"});

    // steps that the sampler or its inversion has no room for
    work.refused(sampled_with("lcm") + Words{"--num_inference_steps", "60"},
                 {"num_inference_steps 60: LCMScheduler: "});
    const std::string karras =
        work.config("karras.json", {{"_class_name", "DPMSolverMultistepScheduler"}, {"use_karras_sigmas", true}});
    work.refused({"--scheduler_config", karras, "--num_inv_steps", "900"},
                 {"DPMSolverMultistepInverseScheduler: 900 steps of this spacing come to one timestep twice"});
}

TEST_CASE("a sampler that is compiled in") {
    const Workplace work;
    const auto own = [&](const std::string& output, const Words& more) {
        Words command = work.command(output, more);
        command.front() = REEL_OWN_SAMPLER;
        return command;
    };
    run_well(
        own("own", {"--start", "noise", "--num_inference_steps", "5", "--save_tensors", work / "own.safetensors"}));
    CHECK(work.sampler("own") == nlohmann::json{{"_class_name", "Renoise"}});
    // It is DDIM where that goes by these timesteps.
    const std::string config =
        work.config("trailing.json", {{"set_alpha_to_one", true}, {"timestep_spacing", "trailing"}});
    run_well(work.command("ddim", sampled_with("ddim") + Words{"--scheduler_config", config, "--num_inference_steps",
                                                               "5", "--save_tensors", work / "ddim.safetensors"}));
    CHECK(relative_error(last_latents(work / "own.safetensors"), last_latents(work / "ddim.safetensors")) < 1e-5);
    run_well(own("masked", {"--start", "noise", "--mask", "difference"}));
    const Ended ended = run(own("refused", {}));
    CHECK(ended.status == 1);
    CHECK(contains(ended.err, "--start inversion: Renoise: no inversion leads to a start for this sampler"));
}

// Whatever is wrong with the input: a non-zero status, one line that names the file or option, nothing half-written.

#include <reel/io/config/json.hpp>
#include <reel/io/pictures/png.hpp>
#include <reel/io/video/video_reader.hpp>
#include <reel/io/weights/safetensors.hpp>
#include <reel/io/weights/torch_checkpoint.hpp>

#include "support/programs.hpp"

using namespace reel_test;

namespace {

class Workplace : public TemporaryFolder {
public:
    Workplace() : clip(*this / "clip.mp4"), model(*this / "model"), out(*this / "out") {
        write_clip(clip);
        std::filesystem::copy(sd2_model, model, std::filesystem::copy_options::recursive);
    }

    /// insert_object with small numbers; `changes` replaces options by name ("" for no such option).
    [[nodiscard]] Words command(const std::map<std::string, std::string>& changes = {}) const {
        std::map<std::string, std::string> options{{"--model", model},
                                                   {"--video", clip},
                                                   {"--prompt", "a man is skiing"},
                                                   {"--edit", "a man is driving"},
                                                   {"--output", out},
                                                   {"--n_sample_frames", "3"},
                                                   {"--width", "32"},
                                                   {"--height", "32"},
                                                   {"--max_train_steps", "2"},
                                                   {"--num_inv_steps", "2"},
                                                   {"--num_inference_steps", "2"},
                                                   {"--threads", "1"}};
        for (const auto& [name, value] : changes) {
            options[name] = value;
        }
        Words words{insert_object};
        for (const auto& [name, value] : options) {
            if (value != "-") {
                words.insert(words.end(), {name, value});
            }
        }
        return words;
    }

    /// The part of the model that a test breaks.
    [[nodiscard]] Path unet_weights() const { return model / "unet" / "diffusion_pytorch_model.safetensors"; }

    void rewrite_unet(const std::string& name,
                      const std::function<void(reel::StateDict&, const std::string&)>& change) {
        reel::StateDict tensors = reel::read_safetensors(sd2_model / "unet" / "diffusion_pytorch_model.safetensors");
        change(tensors, name);
        reel::write_safetensors(unet_weights(), tensors, {});
    }

    Path clip;
    Path model;
    Path out;
};

/// One line of error, which holds all `texts`.
void check_message(const Ended& ended, const std::string& program, const Words& texts, int status = 1) {
    INFO(ended.err);
    CHECK(ended.status == status);
    CHECK(lines_of(ended.err).size() == 1);
    CHECK(ended.err.starts_with(program + ": error: "));
    CHECK(ended.err.size() < 1000);
    for (const std::string& text : texts) {
        INFO("expected: ", text);
        CHECK(contains(ended.err, text));
    }
}

void refused(const Workplace& work, const std::map<std::string, std::string>& changes, const Words& texts,
             int status = 1) {
    check_message(run(work.command(changes)), "insert_object", texts, status);
    CHECK((!std::filesystem::exists(work.out) || files_in(work.out).empty()));
}

/// Whatever files a run has left are complete.
void check_complete(const Path& folder) {
    CHECK(temporaries_in(folder).empty());
    for (const auto& entry : files_in(folder)) {
        const Path path = folder / entry.first;
        const std::string kind = path.extension();
        INFO(path.string());
        if (kind == ".gif" || kind == ".mp4") {
            CHECK(reel::probe_video(path).frames == 3);
        } else if (kind == ".png") {
            CHECK(reel::read_png(path).count == 1);
        } else if (kind == ".pt" || kind == ".bin") {
            CHECK_NOTHROW(static_cast<void>(reel::read_torch_checkpoint(path)));
        } else if (kind == ".safetensors") {
            CHECK_NOTHROW(static_cast<void>(reel::read_safetensors(path)));
        } else if (kind == ".json") {
            CHECK_NOTHROW(static_cast<void>(reel::read_json(path)));
        } else {
            CHECK((kind == ".csv" || kind == ".txt" || kind == ".yaml"));
        }
    }
}

} // namespace

TEST_CASE("weights that are damaged, of another type or shape, missing, or not there yet") {
    Workplace work;
    const std::string file = work.unet_weights();
    const auto size = std::filesystem::file_size(file);
    std::filesystem::resize_file(file, size / 2);
    refused(work, {}, {file, "truncated"});
    std::filesystem::resize_file(file, 5);
    refused(work, {}, {file});
    std::filesystem::resize_file(file, 0);
    refused(work, {}, {file, "empty"});
    put_text(file, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167534\n");
    refused(work, {}, {file, "git-lfs pointer", "git lfs pull"});
    put_text(file, "<!DOCTYPE html><html>Not found</html>");
    refused(work, {}, {file});

    work.rewrite_unet("conv_in.weight", [](reel::StateDict& tensors, const std::string& name) {
        const std::vector<std::int64_t> shape = tensors.at(name).shape;
        const std::vector<std::int64_t> integers(tensors.at(name).element_count(), 1);
        tensors.at(name) = reel::HostTensor::make(shape, integers);
    });
    refused(work, {}, {file, "conv_in.weight", "int64"});
    work.rewrite_unet("conv_in.weight", [](reel::StateDict& tensors, const std::string& name) {
        tensors.at(name).shape = {1, static_cast<std::int64_t>(tensors.at(name).element_count())};
    });
    refused(work, {}, {file, "conv_in.weight", "shape"});
    work.rewrite_unet("conv_in.weight", [](reel::StateDict& tensors, const std::string& name) { tensors.erase(name); });
    refused(work, {}, {file, "conv_in.weight", "missing"});
    work.rewrite_unet("conv_in.weight", [](reel::StateDict& tensors, const std::string& name) {
        tensors["one.more"] = tensors.at(name);
    });
    refused(work, {}, {file, "one.more", "not part of the model"});

    std::filesystem::remove(file);
    refused(work, {}, {work.model / "unet", "no weights found", "diffusion_pytorch_model.safetensors"});

    std::filesystem::remove_all(work.model);
    std::filesystem::copy(sd1_model, work.model, std::filesystem::copy_options::recursive);
    const Path pickle = work.model / "text_encoder" / "pytorch_model.bin";
    std::filesystem::resize_file(pickle, std::filesystem::file_size(pickle) / 2);
    refused(work, {}, {pickle, "truncated"});
    std::filesystem::remove(work.model / "tokenizer" / "merges.txt");
    refused(work, {}, {"merges.txt"});
    refused(work, {{"--model", work / "nowhere"}}, {work / "nowhere", "no such file or folder"});
}

TEST_CASE("configurations that are broken or ask for what there is not") {
    const Workplace work;
    const Path config = work.model / "unet" / "config.json";
    const std::string good = read_text(config);
    put_text(config, good.substr(0, good.size() / 2));
    refused(work, {}, {config, "not valid JSON"});
    nlohmann::json json = nlohmann::json::parse(good);
    json["act_fn"] = "mish";
    put_text(config, json.dump());
    refused(work, {}, {config, "act_fn", "mish", "silu"});
    json = nlohmann::json::parse(good);
    json["a_new_feature"] = 3;
    put_text(config, json.dump());
    refused(work, {}, {config, "a_new_feature"});
    json = nlohmann::json::parse(good);
    json["norm_num_groups"] = 7;
    put_text(config, json.dump());
    refused(work, {}, {config, "norm_num_groups"});
    put_text(config, good);

    const Path index = work.model / "model_index.json";
    json = reel::read_json(index);
    json["unet"] = {"diffusers", "SD3Transformer2DModel"};
    put_text(index, json.dump());
    refused(work, {}, {index, "SD3Transformer2DModel"});
}

TEST_CASE("YAML files that are broken or misspelt, in both programs") {
    const Workplace work;
    const std::string file = work / "config.yaml";
    const std::string start = "pretrained_model_path: m\noutput_dir: o\ntrain_data:\n  video_path: v\n  prompt: p\n";
    const auto both = [&](const std::string& text, const Words& texts) {
        put_text(file, text);
        for (const auto& [program, name] : {std::pair{insert_object, "insert_object"}, {tune_video, "tune_video"}}) {
            check_message(run({program, "--config", file, "--output", work.out}), name, texts);
            CHECK(!std::filesystem::exists(work.out));
        }
    };
    both(start + "  width: [64\n", {file + ":"});
    both(start + "  n_sample_frame: 8\nvalidation_data: {}\n", {file + ":6", "did you mean \"n_sample_frames\"?"});
    both(start + "validation_data: {}\nlearning_rate: quick\n", {file + ":7: learning_rate"});
    both(start, {file, "validation_data"});
    both("", {file});
    std::filesystem::remove(file);
    for (const auto& [program, name] : {std::pair{insert_object, "insert_object"}, {tune_video, "tune_video"}}) {
        check_message(run({program, "--config", file}), name, {file, "No such file"});
    }
}

TEST_CASE("videos that are none, broken, missing or too short") {
    const Workplace work;
    const std::string bad = work / "bad.mp4";
    put_text(bad, "this is no video\n");
    refused(work, {{"--video", bad}}, {bad});
    std::filesystem::copy_file(work.clip, bad, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(bad, std::filesystem::file_size(bad) / 2);
    refused(work, {{"--video", bad}}, {bad});
    refused(work, {{"--video", work / "nothing.mp4"}}, {work / "nothing.mp4", "no such file"});
    refused(work, {{"--video", work.model}}, {work.model, "a folder without pictures"});
    refused(work, {{"--n_sample_frames", "7"}}, {work.clip, "it has 6 frames", "n_sample_frames", "lower"});
    refused(work, {{"--sample_start_idx", "6"}}, {work.clip, "sample_start_idx"});
}

TEST_CASE("a prompt of ten thousand characters works, with one warning for each") {
    const Workplace work;
    std::string long_text;
    while (long_text.size() < 10000) {
        long_text += "a man is skiing on the snow ";
    }
    const Ended one = run_well(work.command({{"--edit", long_text}}));
    CHECK(lines_of(one.err).size() == 1);
    CHECK(contains(one.err, "warning: "));
    CHECK(contains(one.err, "77 tokens"));
    CHECK(one.err.size() < 300);
    check_complete(work.out);
    const Ended three =
        run_well(work.command({{"--edit", long_text}, {"--prompt", long_text}, {"--negative_prompt", long_text}}));
    CHECK(lines_of(three.err).size() == 3);
    // One word without a space, of letters that are two bytes.
    std::string word;
    while (word.size() < 10000) {
        word += "\xc3\xa9";
    }
    CHECK(lines_of(run_well(work.command({{"--edit", word}})).err).size() == 1);
}

TEST_CASE("prompts that are no UTF-8, or empty") {
    const Workplace work;
    refused(work, {{"--prompt", "a \xff man"}}, {"prompt", "not valid UTF-8"});
    refused(work, {{"--edit", "a \xff man"}}, {"edited prompt", "not valid UTF-8"});
    refused(work, {{"--negative_prompt", "\xc3"}}, {"negative_prompt", "not valid UTF-8"});
    refused(work, {{"--prompt", ""}}, {"--prompt", "empty"});
    refused(work, {{"--edit", ""}}, {"--edit", "empty"});
    refused(work, {{"--edit", "-"}}, {"no edited prompt", "--edit"});
}

TEST_CASE("options out of range, unknown, missing or given twice") {
    const Workplace work;
    refused(work, {{"--width", "60"}}, {"--width", "multiple of 8", "60"});
    refused(work, {{"--height", "0"}}, {"--height", "multiple of 8"});
    refused(work, {{"--n_sample_frames", "0"}}, {"--n_sample_frames", "at least 1"});
    refused(work, {{"--num_inference_steps", "0"}}, {"--num_inference_steps", "at least 1"});
    refused(work, {{"--num_inference_steps", "1000"}}, {"1000"}); // the reference's first timestep is then 1000 of 999
    refused(work, {{"--num_inv_steps", "0"}}, {"--num_inv_steps", "at least 1"});
    refused(work, {{"--max_train_steps", "-1"}}, {"--max_train_steps", "at least 0"});
    refused(work, {{"--learning_rate", "nan"}}, {"--learning_rate"});
    refused(work, {{"--guidance_scale", "inf"}}, {"--guidance_scale"});
    refused(work, {{"--trainable_modules", "attn9"}}, {"attn9"});
    const int usage = 2;
    refused(work, {{"--threads", "-1"}}, {"--threads", "0 to 1024"});
    refused(work, {{"--mask_threshold", "1"}}, {"--mask_threshold: expected a number from 0 and below 1, found 1"});
    refused(work, {{"--mask", "difference"}, {"--num_inv_steps", "3"}}, {"--mask difference: --num_inv_steps is 3"});
    refused(work, {{"--mask", "diference"}},
            {"--mask: expected one of none, difference, delta", "mean \"difference\"?"}, usage);
    refused(work, {{"--eta", "much"}}, {"--eta: expected a number, found \"much\"", "--help"}, usage);
    refused(work, {{"--num_inv_steps", "many"}}, {"--num_inv_steps", "many"}, usage);
    refused(work, {{"--seed", "-1"}}, {"--seed", "-1"}, usage);
    refused(work, {{"--num_inv_stps", "3"}}, {"--num_inv_stps", "did you mean \"--num_inv_steps\"?"}, usage);
    refused(work, {{"--model", "-"}}, {"--model", "required"}, usage);
    check_message(run(work.command() + Words{"--prompt", "again"}), "insert_object", {"--prompt"}, usage);
    check_message(run(work.command() + Words{"--width"}), "insert_object", {"--width"}, usage);
    check_message(run({insert_object, "--prompt", "a"}), "insert_object", {"required", "--help"}, usage);
    check_message(run({tune_video}), "tune_video", {"--config", "required"}, usage);
    check_message(run({tune_video, "config.yaml"}), "tune_video", {"--config"}, usage);
    for (const std::string& program : {insert_object, tune_video}) {
        const Ended help = run_well({program, "--help"});
        CHECK(help.err == "");
        CHECK(contains(help.out, "--num_inv_steps"));
    }
}

TEST_CASE("--tuned, --replay and --save_tuned with folders and files that do not fit") {
    const Workplace work;
    std::filesystem::create_directory(work / "empty");
    refused(work, {{"--tuned", work / "empty"}}, {"--tuned", work / "empty", "unet"});
    refused(work, {{"--save_tuned", work.model}}, {work.model, "choose another"});
    CHECK(files_in(work.model) == files_in(sd2_model));
    for (const char* part : {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}) { // before the work
        std::filesystem::create_directory(work / "tuned");
        put_text(work / "tuned" / part, "in the way");
        refused(work, {{"--save_tuned", work / "tuned"}}, {work / "tuned" / part, "in the way"});
        std::filesystem::remove_all(work / "tuned");
    }
    std::filesystem::create_directories(work / "tuned/vae");
    put_text(work / "tuned/vae/notes.txt", "mine"); // would be replaced with it
    refused(work, {{"--save_tuned", work / "tuned"}}, {"cannot replace folder", "notes.txt"});
    std::filesystem::remove_all(work / "tuned");
    std::filesystem::create_directories(work / "tuned" / "model_index.json");
    refused(work, {{"--save_tuned", work / "tuned"}}, {"model_index.json", "not a regular file"});
    refused(work, {{"--save_tensors", work.clip / "x.safetensors"}}, {work.clip});

    const auto replay = reel::read_safetensors("golden/end_to_end/sd2_replay.safetensors");
    const std::string file = work / "replay.safetensors";
    const std::map<std::string, std::string> sizes{
        {"--replay", file}, {"--n_sample_frames", "4"}, {"--width", "64"}, {"--height", "48"}};
    const auto broken = [&](const std::function<void(reel::StateDict&)>& change, const Words& texts) {
        reel::StateDict tensors = replay;
        change(tensors);
        reel::write_safetensors(file, tensors, {});
        refused(work, sizes, texts);
    };
    broken([](reel::StateDict& t) { t.erase("train.noise"); }, {file, "train.noise"});
    broken([](reel::StateDict& t) { t.at("train.noise") = t.at("train.posterior_noise"); }, {file, "train.noise"});
    broken([](reel::StateDict& t) { t.at("train.noise").shape = {5, 1, 4, 4, 8, 6}; }, {file, "noise"});
    broken(
        [](reel::StateDict& t) { t.at("train.timesteps") = reel::HostTensor::make<float>({5}, std::vector<float>(5)); },
        {file, "train.timesteps", "int64"});
    broken(
        [](reel::StateDict& t) {
            t.at("train.timesteps") = reel::HostTensor::make<std::int64_t>({5}, std::vector<std::int64_t>(5, 1000));
        },
        {"1000"});
    broken([](reel::StateDict& t) { t.at("train.timesteps").shape = {1}; }, {file, "train.timesteps"});
    broken([](reel::StateDict& t) { t.at("video.frames_u8").shape = {4, 48, 192, 1}; }, {file, "video.frames_u8"});
    broken([](reel::StateDict& t) { t.erase(std::prev(t.upper_bound("init.~"))); }, {file, "init."});
    broken([](reel::StateDict& t) { t["init.extra"] = t.at("train.timesteps"); }, {file, "init"});
}

TEST_CASE("output folders that cannot be made or written") {
    const Workplace work;
    check_message(run(work.command({{"--output", work.clip}})), "insert_object", {work.clip, "cannot create folder"});
    check_message(run(work.command({{"--output", work.clip / "out"}})), "insert_object", {work.clip / "out"});
    check_message(run(work.command({{"--output", "/proc/reel"}})), "insert_object", {"/proc/reel"});
    refused(work, {{"--save_tuned", "/proc/reel"}}, {"/proc/reel"});

    // Something else is where a file will be: found before the work.
    for (const char* name : {"side_by_side.gif", "frames.png", "edit-1-a_man_is_driving.mp4", "losses.csv",
                             "manifest.json", "inv_latents/ddim_latent-2.pt"}) {
        std::filesystem::create_directories(work.out / name);
        refused(work, {}, {name, "not a regular file"});
        std::filesystem::remove_all(work.out);
    }
    refused(work, {{"--save_tensors", work.path()}}, {work.path(), "not a regular file"});

    // A folder of a read-only file system: the superuser, too, is refused.
    std::filesystem::create_directory(work.out);
    const Words in_namespace{
        "unshare", "-m", "sh", "-c", "mount -t tmpfs -o ro tmpfs " + work.out.string() + " || exit 77; exec \"$@\"",
        "sh"};
    const Ended ended = run(in_namespace + work.command());
    if (ended.status == 77 || contains(ended.err, "unshare")) {
        MESSAGE("skipped: a read-only file system (mounting is not permitted)");
        return;
    }
    check_message(ended, "insert_object", {work.out, "Read-only file system"});
}

TEST_CASE("a disk that is full, wherever it strikes") {
    const Workplace work;
    const Path tuned = work / "tuned";
    int struck = 0;
    int struck_late = 0;
    // As a limit of a file's size, in units of 512 bytes: from the first small file to the weights.
    for (const char* limit : {"1", "4", "7", "10", "14", "18", "24", "40", "100", "400"}) {
        CAPTURE(limit);
        const Ended ended =
            run_after(std::string("ulimit -f ") + limit,
                      work.command({{"--save_tuned", tuned}, {"--save_tensors", work / "tensors.safetensors"}}));
        if (ended.status != 0) {
            ++struck;
            check_message(ended, "insert_object", {"File too large", "cannot write"});
            struck_late += std::filesystem::exists(work.out / "manifest.json") ? 1 : 0;
        }
        if (std::filesystem::exists(work.out / "manifest.json")) { // what could be written is there, and no other
            const auto manifest = reel::read_json(work.out / "manifest.json");
            std::size_t listed = 1;
            for (const auto& output : manifest.at("outputs")) {
                CHECK(std::filesystem::exists(output.at("path").get<std::string>()));
                ++listed;
            }
            CHECK(files_in(work.out).size() == listed);
        }
        check_complete(work.out);
        check_complete(tuned);
        CHECK(temporaries_in(work.path()).empty());
        std::filesystem::remove_all(work.out);
        std::filesystem::remove_all(tuned);
        std::filesystem::remove(work / "tensors.safetensors");
    }
    CHECK(struck >= 6);
    CHECK(struck_late >= 1); // a picture too large: all else was written after it

    // As a small file system; it vanishes with the shell, so what is left is copied out.
    std::filesystem::create_directory(work.out);
    const Path left = work / "left";
    const Words in_namespace{"unshare",
                             "-m",
                             "sh",
                             "-c",
                             "mount -t tmpfs -o size=32k tmpfs " + work.out.string() +
                                 " || exit 77; \"$@\"; status=$?; cp -r " + work.out.string() + " " + left.string() +
                                 "; exit $status",
                             "sh"};
    const Ended ended = run(in_namespace + work.command());
    if (ended.status == 77 || contains(ended.err, "unshare")) {
        MESSAGE("skipped: a full file system (mounting is not permitted)");
        return;
    }
    check_message(ended, "insert_object", {"No space left on device", work.out});
    check_complete(left);
}

TEST_CASE("a tuned model whose folder is full is saved into the output folder") {
    const Workplace work;
    const Path tuned = work / "tuned";
    std::filesystem::create_directory(tuned);
    const Ended ended =
        run(Words{"unshare", "-m", "sh", "-c",
                  "mount -t tmpfs -o size=32k tmpfs " + tuned.string() + " || exit 77; exec \"$@\"", "sh"} +
            work.command({{"--save_tuned", tuned}}));
    if (ended.status == 77 || contains(ended.err, "unshare")) {
        MESSAGE("skipped: a full file system (mounting is not permitted)");
        return;
    }
    check_message(ended, "insert_object",
                  {"No space left on device", "what was tuned is in " + (work.out / "tuned_model").string()});
    check_complete(work.out);
    const auto edited = files_in(work.out);
    CHECK(edited.contains("manifest.json"));
    run_well(work.command({{"--tuned", work.out / "tuned_model"}, {"--output", work / "again"}}));
    CHECK(read_text(work / "again" / "edit-1-a_man_is_driving.gif") == edited.at("edit-1-a_man_is_driving.gif"));
}

TEST_CASE("tune_video on a full disk keeps its last checkpoint whole") {
    const Workplace work;
    put_text(work / "config.yaml", "pretrained_model_path: " + work.model.string() + "\noutput_dir: " +
                                       work.out.string() + "\ntrain_data:\n  video_path: " + work.clip.string() +
                                       "\n  prompt: a man\n  n_sample_frames: 3\n  width: 32\n  height: 32\n"
                                       "validation_data:\n  prompts: [a dog]\n  num_inference_steps: 2\n"
                                       "max_train_steps: 2\ncheckpointing_steps: 1\nseed: 1\n"
                                       "mixed_precision: no\n");
    int struck = 0;
    for (const char* limit : {"1", "4", "50", "100", "200", "400"}) {
        CAPTURE(limit);
        const Ended ended =
            run_after(std::string("ulimit -f ") + limit, {tune_video, "--config", work / "config.yaml"});
        if (ended.status != 0) {
            ++struck;
            check_message(ended, "tune_video", {"File too large", work.out});
        }
        check_complete(work.out);
        for (const auto& entry : std::filesystem::directory_iterator(work.out)) {
            if (entry.path().filename().string().starts_with("checkpoint-")) {
                CHECK(files_in(entry.path()).size() == 3);
            }
        }
        std::filesystem::remove_all(work.out);
    }
    CHECK(struck >= 4);
}

TEST_CASE("a standard output that takes nothing is an error") {
    const Workplace work;
    const Ended ended = run(Words{"sh", "-c", "exec \"$@\" > /dev/full", "sh"} + work.command());
    check_message(ended, "insert_object", {"standard output"});
}

"""Checks, with TensorBoard's own reader, the event files that test_tensorboard.cpp wrote into the folder given.

    pip install tensorboard==2.21.0
"""
import sys

from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator


def main():
    events = EventAccumulator(sys.argv[1], size_guidance={SCALARS: 0, IMAGES: 0})
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["scalars"]) == ["train/learning_rate", "train/loss"], tags
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    expected = [(step, 1.0 / step) for step in range(1, 6)] + [(step, 10.0 + step) for step in range(6, 11)]
    assert [step for step, _ in losses] == [step for step, _ in expected], losses
    assert all(abs(a - b) < 1e-6 for (_, a), (_, b) in zip(losses, expected)), losses
    rates = [(event.step, event.value) for event in events.Scalars("train/learning_rate")]
    assert [step for step, _ in rates] == [1, 2, 3, 4, 5], rates  # the rest was forgotten when the run went on
    assert all(abs(value - 3e-5) < 1e-11 for _, value in rates), rates
    assert tags["images"] == ["preview"], tags
    (picture,) = events.Images("preview")
    assert (picture.step, picture.width, picture.height) == (4, 5, 3), picture
    assert picture.encoded_image_string.startswith(b"\x89PNG"), picture
    print("TensorBoard read", len(losses), "losses and", len(rates), "learning rates")


if __name__ == "__main__":
    main()

"""Folders of images: one shape as told, labels from sub-folders, and files that can't be read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus.data import load_data

RNG = np.random.default_rng(0)


def pixels(height: int = 6, width: int = 8, channels: int = 0) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels) if channels else (height, width), dtype=np.uint8)


def save(folder: Path, **images: np.ndarray | Image.Image) -> str:
    """Images under names such as `a` (-> a.png) or `cat_1` (-> cat/1.png)."""
    for name, image in images.items():
        path = folder / f"{name.replace('_', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return str(folder)


def read(folder: Path | str, **options):
    return load_data(str(folder), **({"seed": None} | options))


def test_grey_and_coloured_images_keep_their_pixels_and_the_order_of_their_names(tmp_path):
    grey = {name: pixels() for name in ("b", "a", "c")}
    data = read(save(tmp_path / "grey", **grey))
    assert data.x_train.dtype == np.uint8
    assert np.array_equal(data.x_train, [grey["a"], grey["b"], grey["c"]])
    rgb = {name: pixels(channels=3) for name in "ab"}
    data = read(save(tmp_path / "rgb", **rgb))
    assert data.feature_shape == (3, 6, 8)
    assert np.array_equal(data.x_train, [rgb["a"].transpose(2, 0, 1), rgb["b"].transpose(2, 0, 1)])
    mixed = read(save(tmp_path / "mixed", a=grey["a"], b=rgb["b"]))
    assert mixed.feature_shape == (3, 6, 8)
    assert np.array_equal(mixed.x_train[0], np.stack([grey["a"]] * 3))
    luma = np.rint(rgb["b"] @ np.array([0.299, 0.587, 0.114]))
    assert np.abs(read(tmp_path / "mixed", colour="grey").x_train[1] - luma).max() <= 1


def test_sub_folders_are_labels_where_there_is_nothing_else(tmp_path):
    folder = save(tmp_path / "x", dog_1=pixels(), cat_1=pixels(), cat_2=pixels())
    data = read(folder)
    assert data.y_train.tolist() == ["cat", "cat", "dog"]
    save(tmp_path / "x", top=pixels())
    assert read(folder).y_train is None
    assert read(save(tmp_path / "one", cat_1=pixels(), cat_2=pixels())).y_train is None
    assert read(save(tmp_path / "deep", cat_a_1=pixels(), dog_a_1=pixels())).y_train is None


def test_folders_of_parts_are_parts(tmp_path):
    images = {
        f"{part}_{kind}_{i}": pixels() for part in ("train", "test", "val") for kind in ("a", "b") for i in (0, 1)
    }
    data = load_data(save(tmp_path / "x", **images))
    assert np.array_equal(data.x_test, [images[f"test_{kind}_{i}"] for kind in "ab" for i in (0, 1)])
    assert data.y_train.tolist() == data.y_valid.tolist() == data.y_test.tolist() == ["a", "a", "b", "b"]
    assert data.split == {"validation": "own", "test": "own"}
    data = load_data(save(tmp_path / "y", train_1=pixels(), train_2=pixels(), test_1=pixels()), validation_fraction=0)
    assert (len(data.x_train), len(data.x_test), data.y_train) == (2, 1, None)


def test_sizes(tmp_path):
    wide, tall = pixels(20, 40), pixels(40, 20)
    folder = save(tmp_path, wide=wide, tall=tall)
    with pytest.raises(
        ValueError, match=r"got 40 x 20 \(tall.png\) and 20 x 40 \(wide.png\); use --size 64 --fit crop"
    ):
        read(folder)
    with pytest.raises(ValueError, match=r"images of 20 x 40 in .* got 40 x 20 \(tall.png\); use --fit crop or"):
        read(folder, size=(20, 40))
    with pytest.raises(ValueError, match="a size to crop images to, got none"):
        read(folder, fit="crop")
    data = read(folder, size=20, fit="crop")  # nothing to scale, so the middle itself
    assert np.array_equal(data.x_train, [tall[10:30], wide[:, 10:30]])
    data = read(folder, size=(10, 40), fit="resize")
    assert data.feature_shape == (10, 40)
    assert abs(data.x_train[1].mean() - wide.mean()) < 2
    for wrong in (0, (1, 2, 3), (4, True), 2.5, "64"):
        with pytest.raises(ValueError, match="Expected a size as one number of pixels, or height and width"):
            read(folder, size=wrong, fit="crop")


def test_images_are_turned_upright_as_the_camera_says(tmp_path):
    upright = np.kron(pixels(4, 6), np.ones((8, 8), np.uint8))
    turns = {3: upright[::-1, ::-1], 6: np.rot90(upright), 8: np.rot90(upright, -1), 2: upright[:, ::-1]}
    for how, stored in turns.items():
        exif = Image.Exif()
        exif[0x0112] = how
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"{how}.png", exif=exif)
    data = read(tmp_path)
    assert all(np.array_equal(x, upright) for x in data.x_train)


def test_large_photographs_are_decoded_at_a_fraction_of_their_size(tmp_path):
    y, x = np.mgrid[0:800, 0:1200]
    photograph = np.stack([(x / 1200 * 255), (y / 800 * 255), 0 * x + 99], axis=2).astype(np.uint8)
    Image.fromarray(photograph).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(photograph).save(tmp_path / "b.png")
    a, b = read(tmp_path, size=(20, 30), fit="resize").x_train.astype(int)
    assert np.abs(a - b).max() <= 4


def test_transparent_parts_are_white_and_every_kind_of_pixel_becomes_8_bits(tmp_path):
    clear = np.zeros((6, 8, 4), np.uint8)
    clear[0, 0] = [10, 20, 30, 255]
    sixteen = RNG.integers(0, 2**16, (6, 8)).astype(np.uint16)
    palette = Image.fromarray(pixels(channels=3)).quantize(8)
    grey_palette = Image.fromarray(np.tile(np.arange(8, dtype=np.uint8), (6, 1)) * 30, "L").convert("P")
    bilevel = Image.fromarray(pixels() > 127)
    kinds = {"a": clear, "b": sixteen, "c": palette, "d": grey_palette, "e": bilevel}
    data = read(save(tmp_path, **kinds))
    assert data.x_train[0, :, 0, 0].tolist() == [10, 20, 30]
    assert (data.x_train[0, :, 1:, 1:] == 255).all()
    assert np.abs(data.x_train[1, 0] - sixteen / 257).max() <= 0.5
    assert np.array_equal(data.x_train[2], np.asarray(palette.convert("RGB")).transpose(2, 0, 1))
    assert set(np.unique(data.x_train[4])) == {0, 255}
    (tmp_path / "a.png").unlink()
    (tmp_path / "c.png").unlink()
    data = read(tmp_path)
    assert data.feature_shape == (6, 8)  # grey, also from a palette
    assert np.array_equal(data.x_train[1], np.tile(np.arange(8) * 30, (6, 1)))


def test_an_animation_gives_its_first_frame_and_cmyk_its_colours(tmp_path):
    frames = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "b.jpg", quality=95)
    data = read(tmp_path)
    assert (data.x_train[0] == 10).all()
    assert np.abs(data.x_train[1].reshape(3, -1).mean(axis=1) - [255, 0, 0]).max() < 8


def bomb() -> bytes:
    """A PNG of a few bytes that says it has ten thousand million pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = b""
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels(60, 80)).save(buffer, "png")
    return buffer.getvalue()


BAD = {
    "bomb.png": (bomb(), "more than 89,478,485 pixels"),
    "empty.png": (b"", "an empty file"),
    "text.jpg": (b"hello", "not an image"),
    "torn.png": (png()[:1000], "truncated or damaged"),
}


def test_bad_files_are_listed_or_skipped_and_recorded(tmp_path):
    folder = save(tmp_path, good_1=pixels(60, 80), other_2=pixels(60, 80))
    for name, (content, _) in BAD.items():
        (tmp_path / "good" / name).write_bytes(content)
    (tmp_path / "good" / ".hidden.png").write_bytes(b"")
    (tmp_path / "good" / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="4 of 6 that are not") as refused:
        read(folder)
    assert all(f"good/{name} ({what})" in str(refused.value) for name, (_, what) in BAD.items())
    assert "use --bad skip" in str(refused.value)
    data = read(folder, bad="skip")
    assert data.y_train.tolist() == ["good", "other"]
    assert data.preparation["skipped"] == {f"good/{name}": what for name, (_, what) in BAD.items()}
    assert "4 bad files skipped" in data.description
    assert "2 other files ignored (.txt, hidden)" in data.description
    again = read(folder, bad="skip", preparation=data.preparation)
    assert np.array_equal(again.x_train, data.x_train)


def test_a_folder_without_a_sound_image_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match="Expected images in .* got none; use files that end in .png"):
        read(tmp_path / "x")
    (tmp_path / "x" / "a.heic").write_bytes(b"x")
    with pytest.raises(ValueError, match="got none, but .heic files; use files that end in .png"):
        read(tmp_path / "x")
    for content in (b"", png()[:1000]):
        (tmp_path / "x" / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=r"Expected images in .* got a.png"):
            read(tmp_path / "x", bad="skip")


def test_floating_point_pixels_are_bad(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="floating-point pixels, of which it is not known what is white"):
        read(tmp_path)


def test_links_are_followed_once(tmp_path):
    save(tmp_path / "x", a=pixels())
    try:
        os.symlink(tmp_path / "x", tmp_path / "x" / "loop")
    except OSError:
        pytest.skip("this system has no links")
    assert len(read(tmp_path / "x").x_train) == 1


def test_other_images_are_read_as_those_in_training(tmp_path):
    first = read(save(tmp_path / "x", a=pixels(), b=pixels()))
    other = save(tmp_path / "y", a=pixels(channels=3))
    data = read(other, preparation=first.preparation)
    assert data.feature_shape == (6, 8)
    save(tmp_path / "y", b=pixels(7, 8))
    with pytest.raises(ValueError, match=r"images of 6 x 8 .* got 7 x 8 \(b.png\); train with --fit crop"):
        read(other, preparation=first.preparation)
    cut = read(tmp_path / "x", size=4, fit="crop").preparation
    assert read(other, preparation=cut).feature_shape == (4, 4)
    for wrong in ({"kind": "table"}, cut | {"size": [4]}, cut | {"fit": "no"}, {"kind": "images"}):
        with pytest.raises(ValueError, match="Expected the record of a folder of images"):
            read(other, preparation=wrong)


def test_more_images_than_fit_in_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    folder = save(tmp_path, a=pixels(), b=pixels())
    monkeypatch.setattr("isthmus.data.memory.available_memory", lambda: 90)
    monkeypatch.setattr("isthmus.data.memory.SMALL", 0)
    monkeypatch.setattr("isthmus.data.images.decode", None)
    with pytest.raises(ValueError, match="the 2 images of .* use a smaller --size, or isthmus data convert"):
        read(folder)


SOUND = png()


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255), st.booleans())
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_read_or_bad_and_nothing_else_is_raised(tmp_path_factory, place, change, cut):
    content = bytearray(SOUND)
    content[place] ^= change
    folder = tmp_path_factory.mktemp("images")
    (folder / "a.png").write_bytes(content[:place] if cut else content)
    (folder / "b.png").write_bytes(SOUND)
    data = read(folder, bad="skip", size=8, fit="resize")
    assert len(data.x_train) == 2 - len(data.preparation["skipped"])

"""What is left out of folders of images, and that nothing in them can hold up or mislead a walk."""

import os
import socket

import pytest

from reskeras.errors import ReskerasError
from reskeras.image_files import image_files, several
from reskeras.walk import Walk


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def found(root):
    walk = Walk(root)
    return [file.relative_to(root).as_posix() for file in walk.files(root)], walk.left_out.notes()


@pytest.mark.parametrize(
    "folder", [".ipynb_checkpoints", ".thumbnails", ".@__thumb", "@eaDir", "__MACOSX", "a/b/.cache", "$RECYCLE.BIN"]
)
def test_hidden_and_system_folders_are_left_out_at_any_depth_with_their_images(tmp_path, folder):
    files(tmp_path, "a/0.png", f"{folder}/0.png", f"{folder}/deep/1.JPG", f"{folder}/note.txt")
    names, [note] = found(tmp_path)
    assert names == ["a/0.png"]
    assert note == f"skipped 1 hidden or thumbnail folder with 2 images: {tmp_path / folder}"


def test_files_of_systems_are_left_out_without_a_word_and_hidden_images_with_one(tmp_path):
    files(tmp_path, "0.png", ".DS_Store", "Thumbs.db", "desktop.ini", "._0.png")
    names, [note] = found(tmp_path)
    assert names == ["0.png"]
    assert note == f"skipped 1 hidden image: {tmp_path / '._0.png'}"


def test_links_inside_are_followed_and_those_that_lead_out_nowhere_or_round_are_told(tmp_path):
    root = tmp_path / "root"
    files(root, "a/0.png", "store/1.png")
    files(tmp_path, "outside/2.png")
    (root / "a" / "more").symlink_to("../store")
    (root / "a" / "one.png").symlink_to("../store/1.png")
    (root / "a" / "out").symlink_to(tmp_path / "outside")
    (root / "a" / "out.png").symlink_to(tmp_path / "outside" / "2.png")
    (root / "a" / "gone.png").symlink_to("nothing.png")
    (root / "a" / "self.png").symlink_to("self.png")
    (root / "a" / "up").symlink_to("..")
    walk = Walk(root)
    assert [file.relative_to(root).as_posix() for file in walk.files(root / "a")] == [
        "a/0.png",
        "a/more/1.png",
        "a/one.png",
    ]
    told = " ".join(walk.left_out.notes())
    assert "2 links that point outside the folder" in told
    assert "2 broken links" in told
    assert "a/up" in told


def test_links_that_double_at_every_level_do_not_multiply_the_walk(tmp_path):
    for level in range(40):
        files(tmp_path, f"{level}/x.png")
        for name in ("left", "right"):
            (tmp_path / f"{level}" / name).symlink_to(f"../{level + 1}")
    walk = Walk(tmp_path)
    assert len(walk.files(tmp_path / "0")) <= 40


def test_pipes_sockets_and_links_to_devices_are_never_opened(tmp_path):
    files(tmp_path, "0.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "null.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.png"))
        names, notes = found(tmp_path)
    assert names == ["0.png"]
    assert any(note.startswith("skipped 2 devices, pipes or sockets") for note in notes)
    assert any("points outside" in note for note in notes)


def test_a_folder_that_cannot_be_read_is_told_and_a_root_is_refused(tmp_path, monkeypatch):
    files(tmp_path, "a/0.png", "locked/1.png")
    real = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    names, [note] = found(tmp_path)
    assert names == ["a/0.png"]
    assert "folder that cannot be read" in note and "locked" in note
    with pytest.raises(ReskerasError, match="permission denied") as caught:
        found(tmp_path / "locked")
    assert caught.value.status == 1


def test_one_path_is_not_its_letters():
    assert several("a.png") == ["a.png"]
    assert several(["a.png", "b.png"]) == ["a.png", "b.png"]


def test_folders_and_patterns_give_their_images_in_order(tmp_path):
    files(tmp_path, "p/b.png", "p/sub/a.jpg", "p/note.txt", "p/.x/h.png", "q/1.png", "q/2.png", "odd[1].png")
    with image_files([str(tmp_path / "p"), str(tmp_path / "q" / "*.png"), str(tmp_path / "odd[1].png")]) as images:
        assert [path.relative_to(tmp_path).as_posix() for path in images.paths] == [
            "p/b.png",
            "p/sub/a.jpg",
            "q/1.png",
            "q/2.png",
            "odd[1].png",
        ]
        assert len(images.notes) == 2


@pytest.mark.parametrize("name", ["absent.png", "*.gif", "empty"])
def test_names_that_lead_to_no_image_are_refused_by_name(tmp_path, name):
    files(tmp_path, "0.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReskerasError) as caught, image_files([tmp_path / name]):
        pass
    assert caught.value.status == 2
    assert name in str(caught.value)


def test_a_deep_tree_is_walked_without_resolving_each_path(tmp_path, monkeypatch):
    """Which would take the square of its depth: 22 s for 700 folders in one another."""
    files(tmp_path, "/".join(["a"] * 150) + "/0.png")
    resolved, realpath = [], os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path, **how: resolved.append(path) or realpath(path, **how))
    walk = Walk(tmp_path)
    assert len(walk.files(tmp_path)) == 1
    assert len(resolved) < 10

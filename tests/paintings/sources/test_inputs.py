"""Which layout an input has, and several of them as one."""

import json
import pickle
import sys
from types import SimpleNamespace

import pytest

from jaxart.paintings.sources import huggingface, inputs


LAYOUTS = {
    "folder": {"a.jpg": "", "below/b.jpg": "", "labels.csv": "filename\n"},
    "kaggle": {"train_info.csv": "filename,title\n1.jpg,A\n", "train/1.jpg": ""},
    "wikiart": {"Rococo/a-b_c.jpg": "", "Pop_Art/a_b-1960.jpg": "", "readme.txt": ""},
    "best_artworks": {"Paul_Klee/Paul_Klee_1.jpg": "", "Joan_Miro/Joan_Miro_2.jpg": ""},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_layout_is_detected_from_its_files(write, write_zip, layout, packed):
    root = (write_zip if packed else write)(LAYOUTS[layout])
    [collection] = inputs.open_inputs([root]).collections
    assert (collection.layout, collection.name) == (layout, layout)
    assert {painting.source for painting in collection} == {layout}


def test_the_layout_can_be_named_instead(write):
    root = write(LAYOUTS["wikiart"])
    union = inputs.open_inputs([root], "folder")
    assert [p.labels["style"] for p in union] == ["", "", ""]


def test_no_two_inputs_share_a_name(write):
    first = write(LAYOUTS["folder"], "one")
    second = write(LAYOUTS["folder"], "two")
    third = write(LAYOUTS["kaggle"], "three")
    union = inputs.open_inputs([first, third, second])
    assert [(painting.source, painting.filename) for painting in union] == [
        ("folder", "folder/a.jpg"),
        ("folder", "folder/below/b.jpg"),
        ("kaggle", "kaggle/train/1.jpg"),
        ("folder_2", "folder_2/a.jpg"),
        ("folder_2", "folder_2/below/b.jpg"),
    ]


def test_a_union_is_picklable_and_deterministic(write):
    roots = [write(LAYOUTS[name], name) for name in LAYOUTS]
    union = inputs.open_inputs(roots)
    once = list(union)
    assert list(union) == once
    assert list(pickle.loads(pickle.dumps(union))) == once


def test_paintings_go_through_json_whatever_they_are(write, write_zip, write_parquet):
    write_zip({"in.jpg": "x", "../out.jpg": "x"}, "collection/pack.zip")
    root = write({"a.jpg": "x", "labels.csv": "filename,title\na.jpg,é\ngone.jpg,\n"})
    rows = write_parquet({"image": [b"x"]}, {})
    paintings = list(inputs.open_inputs([root, rows]))
    texts = [json.dumps(inputs.to_json(painting)) for painting in paintings]
    assert [inputs.from_json(json.loads(text)) for text in texts] == paintings
    assert {type(painting.file).__name__ for painting in paintings} == {
        *inputs.FILE_TYPES
    }


def test_a_changed_file_has_another_stamp(write):
    root = write({"a.jpg": "x"})
    [painting] = inputs.open_inputs([root])
    before = painting.file.stamp()
    assert before == painting.file.stamp()
    (root / "a.jpg").write_text("longer")
    assert painting.file.stamp() != before


def test_an_input_inside_of_another_is_refused(write):
    root = write(LAYOUTS["folder"])
    for pair in ([root, root], [root / "below", root], [root, root / "below"]):
        with pytest.raises(ValueError, match="must not contain each other"):
            inputs.open_inputs(pair)
    with pytest.raises(ValueError, match="at least one collection; got none"):
        inputs.open_inputs([])


def test_a_broken_collection_is_named(write):
    root = write({"train_info.csv": "filename\n1.jpg\n1.jpg\n"})
    with pytest.raises(ValueError, match=r"line 3: 1\.jpg comes twice") as refusal:
        list(inputs.open_inputs([root]))
    assert str(root) in str(refusal.value)


def test_a_data_set_of_the_hub_is_downloaded_first(write_parquet, monkeypatch):
    root = write_parquet({"image": [b"one", b"two"]}, {})
    asked = []

    def snapshot_download(name, *, repo_type, allow_patterns):
        asked.append((name, repo_type, allow_patterns))
        return str(root)

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    union = inputs.open_inputs(["hf:huggan/wikiart"])
    assert asked == [("huggan/wikiart", "dataset", ["*.parquet"])]
    assert [p.file.open().read() for p in union] == [b"one", b"two"]


def test_what_the_hub_refuses_is_one_line(monkeypatch):
    def snapshot_download(*_, **__):
        raise RuntimeError("no such\ndata set")

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(ValueError, match=r"^input hf:a/b cannot be had: no such data"):
        inputs.open_inputs(["hf:a/b"])
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxart\[hub\]'"):
        inputs.open_inputs(["hf:a/b"])


def test_the_hubs_own_function_takes_what_it_is_given():
    hub = pytest.importorskip("huggingface_hub")
    import inspect

    signature = inspect.signature(hub.snapshot_download)
    signature.bind("a/b", repo_type="dataset", allow_patterns=["*.parquet"])
    assert huggingface.HUB == "hf:"

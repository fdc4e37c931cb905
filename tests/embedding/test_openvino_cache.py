"""Converted networks are kept, and a kept one is never taken for another."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from caltech_lab.embedding import openvino_cache
from caltech_lab.embedding.backbones import Backbone, backbone, feature_map
from caltech_lab.embedding.openvino_cache import kept_network
from caltech_lab.embedding.views import View
from caltech_lab.settings import settings

openvino = pytest.importorskip("openvino")


class Converter:
    """Makes a network that adds a number, and counts how often it was asked to."""

    def __init__(self, number: float = 1.0) -> None:
        self.number, self.calls = number, 0

    def __call__(self):
        self.calls += 1
        given = openvino.opset13.parameter([-1, 3], np.float32)
        return openvino.Model([openvino.opset13.add(given, np.float32(self.number))], [given])


def answer(model) -> float:
    compiled = openvino.Core().compile_model(model, "CPU")
    return float(compiled([np.zeros((1, 3), np.float32)])[0][0, 0])


@pytest.fixture(name="network")
def some_network(environment, monkeypatch) -> Backbone:
    # The weights' file need not be read for a network that is not theirs.
    return replace(backbone("resnet50"), weights=lambda: "0" * 64)


def kept_files() -> list[str]:
    return sorted(p.suffix for p in (settings().outputs / "networks").glob("[!.]*"))


def test_a_network_is_converted_once(network):
    first, second = Converter(), Converter(2.0)
    assert answer(kept_network(network, first)) == 1
    assert answer(kept_network(network, second)) == 1
    assert (first.calls, second.calls) == (1, 0)
    assert kept_files() == [".bin", ".json", ".xml"]


@pytest.mark.parametrize("ending", [".bin", ".xml", ".json"])
@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "gone", "other"])
def test_a_damaged_file_is_converted_again(network, ending, harm):
    kept_network(network, Converter())
    (path,) = (settings().outputs / "networks").glob(f"[!.]*{ending}")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    changed = {"flipped": content, "cut": content[: len(content) // 2], "empty": b""}
    changed["other"] = b'{"a": 1}'
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(changed[harm])
    again = Converter(3.0)
    assert answer(kept_network(network, again)) == 3
    assert again.calls == 1
    assert answer(kept_network(network, Converter(4.0))) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"weights": lambda: "1" * 64},
        {"size": 288},
        {"build": backbone("efficientnet-lite0").build},
        {"build": partial(View().as_backbone().build.func, backbone("resnet50"), View())},
        {"build": feature_map(backbone("resnet50")).build},
    ],
    ids=["weights", "size", "builder", "view", "feature map"],
)
def test_another_network_is_another_file(network, other):
    kept_network(network, Converter())
    assert answer(kept_network(replace(network, **other), Converter(2.0))) == 2


def test_what_a_view_shows_to_the_same_network_shares_its_file(network):
    kept_network(network, Converter())
    assert answer(kept_network(replace(network, fit="crop"), Converter(2.0))) == 1


def test_views_through_one_network_are_told_apart(environment):
    mirrored = View("efficientnet-lite0", mirrored=True).as_backbone()
    whole = replace(View("efficientnet-lite0").as_backbone(), name=mirrored.name)
    kept_network(whole, Converter())
    assert answer(kept_network(mirrored, Converter(2.0))) == 2


def test_other_versions_and_edited_code_are_another_file(network, monkeypatch):
    kept_network(network, Converter())
    with monkeypatch.context() as patch:
        patch.setattr(openvino_cache.metadata, "version", lambda name: f"{name} of tomorrow")
        assert answer(kept_network(network, Converter(2.0))) == 2
    with monkeypatch.context() as patch:
        patch.setattr(openvino_cache, "SOURCES", ("views.py",))
        assert answer(kept_network(network, Converter(3.0))) == 3


def test_the_older_of_a_kind_goes(network):
    kept_network(network, Converter())
    kept_network(replace(network, weights=lambda: "1" * 64), Converter(2.0))
    assert kept_files() == [".bin", ".json", ".xml"]


def test_a_function_of_a_notebook_is_never_taken_for_the_networks_own(network):
    kept_network(network, Converter())
    for own in (lambda: None, partial(backbone("resnet50").build, lambda: None), Converter()):
        assert answer(kept_network(replace(network, build=own), Converter(2.0))) == 2
    assert answer(kept_network(network, Converter(3.0))) == 1


def test_without_a_place_to_keep_it_a_network_still_runs(network, monkeypatch):
    settings().outputs.parent.mkdir(parents=True, exist_ok=True)
    settings().outputs.write_text("a file where the folder should be")
    assert answer(kept_network(network, Converter())) == 1


def test_the_record_names_the_files_by_what_is_in_them(network):
    kept_network(network, Converter())
    (record,) = (settings().outputs / "networks").glob("[!.]*.json")
    names = {record.with_suffix(ending).name for ending in (".xml", ".bin")}
    assert json.loads(record.read_text()).keys() == names

"""A run on two nodes goes on when one of them is lost, and ends with the right rows."""

import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from caltech_lab.embedding.backbones import backbone
from caltech_lab.embedding.engines import choose_runtime
from caltech_lab.embedding.extraction import extract
from caltech_lab.scale.ray_extraction import ray_embedding
from tests.scale.same_bits import bits

HOG = backbone("hog")
STORE = 100 * 2**20


def test_one_of_two_nodes_is_killed_in_the_middle(photos, tmp_path):
    directly = tmp_path / "direct" / photos.name / "hog" / "features"
    extract(photos, HOG, directly)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "object_store_memory": STORE, "include_dashboard": False},
    )
    try:
        second = cluster.add_node(num_cpus=2, object_store_memory=STORE)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        assert len({node["NodeID"] for node in ray.nodes() if node["Alive"]}) == 2
        shards = tmp_path / "ray" / "shards"
        left: list[int] = []

        def kill() -> None:
            while len(list(Path(shards).glob("shard-*"))) < 2:
                time.sleep(0.01)
            cluster.remove_node(second, allow_graceful=False)
            left.append(9 - len(list(Path(shards).glob("shard-*"))))

        killer = threading.Thread(target=kill)
        killer.start()
        by_ray = tmp_path / "ray" / photos.name / "hog" / "features"
        rows = ray_embedding(HOG, choose_runtime(HOG), str(shards), workers=2)
        extract(photos, HOG, by_ray, embedding=rows)
        killer.join()
        assert sum(node["Alive"] for node in ray.nodes()) == 1
        assert bits(by_ray) == bits(directly)
    finally:
        ray.shutdown()
        cluster.shutdown()

"""What Ray costs a question: shards on a cluster of this machine against the same index in one process.

    python benchmarks/cluster_serve.py                    # 300,000 clips x 256 in six segments, three shards of two replicas
    unshare -rn sh -c 'ip link set lo up; python benchmarks/cluster_serve.py'   # where Ray does not find itself on the loopback

First what it costs to ask three processes for 22 kB each, by plain actors and by handles of Ray Serve. Then whole questions, whose vectors
are given. All shards share this machine's cores, so nothing is gained by them here; what is seen is what is added.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _machine import describe

from indexer.rows import clips_table
from vidsearch.clusters import joined
from vidsearch.config import external_space
from vidsearch.encoders._blas import hold_one_thread
from vidsearch.query import Query
from vidsearch.registry import plugin
from vidsearch.service.cluster.index import ClusterIndex
from vidsearch.service.cluster.ray_shards import RayShards
from vidsearch.service.sentences import Sentences
from vidsearch.service.versions import ServedIndex
from vidsearch.storage import manifest as manifests
from vidsearch.storage import segment as segments
from vidsearch.storage.quarantine import quarantine_table
from vidsearch.storage.template import write_template

DIM, SEGMENTS, GROUPS, REPLICAS = 256, 6, 3, 2
FILTERS = {"no filter": None, "half pass": "aesthetic > 5", "a hundredth pass": "aesthetic > 9.9"}


class Echo:
    """Answers as much as a shard does to one question."""

    def ask(self, query: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], ...]:
        return np.zeros(1400, np.int64), np.zeros((2, 1400), np.float32)


def clustered(rows: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    middles = np.random.default_rng(0).normal(size=(2000, DIM)).astype(np.float32)
    vectors = middles[rng.integers(len(middles), size=rows)] + 0.8 * rng.normal(size=(rows, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_index(root: Path, rows: int, seed: int) -> None:
    """Write segments with codes, all cut from one template."""
    rng, module = np.random.default_rng(seed), plugin("vidsearch.indexes", "ivfpq")
    manifests.create(root, external_space(DIM))
    data = module.train(clustered(min(rows, 48_000), rng), rows=rows, seed=seed)
    trained, name = module.load_template(data), write_template(root, data, {})
    manifests.commit(root, lambda manifest: manifest.with_template(name))
    for number in range(SEGMENTS):
        vectors = clustered(rows // SEGMENTS, rng).astype(np.float16)
        lists = module.assign(vectors, trained)
        order = np.argsort(lists, kind="stable")
        vectors, place = vectors[order], {"video": "v.mp4", "start_s": 0.0, "end_s": 1.0, "duration_s": 1.0, "caption": "a clip"}
        table = clips_table([{"clip_id": f"c{number}-{n}", **place, "aesthetic": float(10 * rng.random())} for n in range(len(vectors))])
        written = segments.write(
            root,
            vectors=vectors,
            rows=table,
            index_files=module.build(vectors, trained, lists[order]),
            quarantine=quarantine_table([]),
            info={"index": "ivfpq", "template": name, "code_bytes": trained.code_bytes},
        )
        manifests.commit(root, lambda manifest, new=written: manifest.with_segments([*manifest.segments, new]))


def quantiles(asked: Iterator[Callable[[], Any]]) -> str:
    """Return the median and the 95th percentile of some calls, in milliseconds."""
    taken = []
    for ask in asked:
        begun = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - begun))
    half, most = np.quantile(taken, [0.5, 0.95])
    return f"{half:.1f} | {most:.1f}"


def compare_ways(ray: Any, count: int) -> None:
    """Print what it costs to ask three processes by actors and by Ray Serve's handles."""
    from ray import serve

    query = np.zeros((1, 768), np.float32)
    actors = [ray.remote(num_cpus=0)(Echo).remote() for _ in range(GROUPS * REPLICAS)]
    ray.get([actor.ask.remote(query) for actor in actors])
    serve.start(http_options={"location": "NoServer"})
    options = {"num_replicas": REPLICAS, "ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 8}
    handles = [
        serve.run(serve.deployment(Echo).options(name=f"shard{n}", **options).bind(), name=f"app{n}", route_prefix=None)
        for n in range(GROUPS)
    ]

    def by_actors() -> None:
        ray.get([actor.ask.remote(query) for actor in actors[:GROUPS]], timeout=10)

    def by_serve() -> None:
        for answer in [handle.ask.remote(query) for handle in handles]:
            answer.result(timeout_s=10)

    for _ in range(2):
        for name, way in (("plain actors", by_actors), ("Ray Serve handles", by_serve)):
            for _ in range(20):
                way()
            print(f"| {name} | {quantiles(way for _ in range(count))} |")
    serve.shutdown()
    for actor in actors:
        ray.kill(actor)


def compare_questions(ray: Any, root: Path, count: int, seed: int) -> None:
    """Print what whole questions cost in one process and on shards."""
    alone = ServedIndex(root, Sentences())
    shards = RayShards(ray, root, groups=GROUPS, replicas=REPLICAS, timeout_s=10)
    index = ClusterIndex(root, Sentences(), shards)
    vectors = clustered(count, np.random.default_rng(seed + 1))
    for name, where in FILTERS.items():
        for together in (1, 32):
            asked = [Query(vector=vector, where=where) for vector in vectors]
            batches = [asked[start : start + together] for start in range(0, len(asked), together)]
            for one in (alone, index):
                one.ask(batches[0])
            same = [hits.hits for hits in alone.ask(asked[:50])] == [hits.hits for hits in index.ask(asked[:50])]
            times = [quantiles((lambda b=batch, i=one: i.ask(b)) for batch in batches) for one in (alone, index)]
            print(f"| {name}, {together} at once | {' | '.join(times)} | {same} |")
    shards.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--queries", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    hold_one_thread()
    print(describe("ray", "numpy", seed=arguments.seed), flush=True)
    with tempfile.TemporaryDirectory() as folder, joined(None) as ray:
        print(f"| asking {GROUPS} processes | p50 ms | p95 ms |", flush=True)
        compare_ways(ray, arguments.queries)
        write_index(Path(folder) / "index", arguments.rows, arguments.seed)
        print("| questions | one process p50 ms | p95 | shards p50 | p95 | same answers |", flush=True)
        compare_questions(ray, Path(folder) / "index", arguments.queries, arguments.seed)


if __name__ == "__main__":
    main()

"""The servers of `service.py`: `_service_servers.py flask|qdrant FOLDER CORE`; each prints its port when it answers.

Both take POST /v1/search {"vector": [...], "k": 10} and answer with the clips' metadata. Efforts are the smallest that reach the recall.

flask    the way of clip-retrieval's back end, after its published design: Flask's threaded server, a FAISS index that answers one question
         at a time, and the metadata of what it finds looked up in a Parquet file held in memory
qdrant   qdrant-edge in the process of a FastAPI application on uvicorn, as ours is; HNSW with int8 copies, payload as metadata
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _search_child import pin

K, RECALL, TUNED_ON = 10, 0.95, 128
Hits = list[dict[str, Any]]


def tuned(search: Any, modes: list[list[Any]], folder: Path) -> Any:
    """Return the smallest effort whose answers hold the wanted share of the true ones, of the mode that is fastest then."""
    queries, truth = np.load(folder / "queries.npy")[:TUNED_ON], np.load(folder / "truth.npz")["ids"][0]
    took: list[tuple[float, int, Any]] = []
    for mode in modes:
        for effort in mode:
            begun = time.process_time()
            found = [len(set(search(query, K, effort)) & set(true.tolist())) / K for query, true in zip(queries, truth, strict=False)]
            if np.mean(found) >= RECALL:
                took.append((time.process_time() - begun, len(took), effort))
                break
    return min(took)[2] if took else modes[0][-1]


def flask(folder: Path, port: int) -> None:
    import faiss
    import pyarrow as pa
    import pyarrow.parquet as pq
    from flask import Flask, jsonify, request

    faiss.omp_set_num_threads(1)
    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    lists = round(4 * len(vectors) ** 0.5)
    path = folder / "flask.faiss"
    if not path.exists():
        made = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
        made.train(vectors[:: max(1, len(vectors) // (40 * lists))])
        made.add(vectors)
        faiss.write_index(made, str(path))
    del vectors
    index = faiss.read_index(str(path))
    rows = pq.read_table(folder / "rows.parquet")

    def ids(query: Any, k: int, effort: int) -> list[int]:
        return index.search(query[None], k, params=faiss.SearchParametersIVF(nprobe=effort))[1][0].tolist()

    index.nprobe = tuned(ids, [[1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384]], folder)
    application = Flask("served")

    @application.post("/v1/search")
    def search() -> Any:
        asked = request.get_json()
        scores, numbers = index.search(np.array([asked["vector"]], np.float32), asked["k"])
        metadata = rows.take(pa.array(numbers[0])).to_pylist()
        return jsonify({"hits": [{"score": float(score), **row} for score, row in zip(scores[0], metadata, strict=True)]})

    told(port, f"IVF{lists},Flat, {index.nprobe} lists")
    application.run("127.0.0.1", port, threaded=True)


def qdrant(folder: Path, port: int) -> None:
    import uvicorn
    from _search_peers import Qdrant
    from fastapi import FastAPI
    from pydantic import BaseModel

    peer = Qdrant(folder)
    peer.build(keep=True)
    peer.open()
    cell = {"kind": "all"}
    edge = peer.edge
    width, quantization = tuned(lambda query, k, effort: peer.search(cell, query, effort)[0], [*peer.modes.values()], folder)
    mode = next(name for name, efforts in peer.modes.items() if (width, quantization) in efforts)

    class Question(BaseModel):
        vector: list[float]
        k: int = K

    application = FastAPI()

    def search(question: Question) -> dict[str, Hits]:
        params = edge.SearchParams(hnsw_ef=width, quantization=quantization)
        wanted = edge.SearchRequest(query=edge.Query.Nearest(question.vector), limit=question.k, with_payload=True, params=params)
        return {
            "hits": [
                {"clip_id": f"v{point.id:09d}", "score": point.score, "metadata": point.payload} for point in peer.shard.search(wanted)
            ]
        }

    search.__annotations__["question"] = Question  # FastAPI looks for names in the module
    application.post("/v1/search", response_model=None)(search)
    told(port, f"HNSW m=16, {mode}, width {width}")
    uvicorn.run(application, port=port, access_log=False, log_level="error")


def told(port: int, how: str) -> None:
    print(json.dumps({"port": port, "how": how}), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    pin(sys.argv[3])
    {"flask": flask, "qdrant": qdrant}[sys.argv[1]](Path(sys.argv[2]), free_port())

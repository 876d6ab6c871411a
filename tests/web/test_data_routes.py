"""The data of the charts and the map over HTTP: what the page asks for with its own query string."""

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from support.made import made

from ui.explorer import Explorer
from ui.plots.dataset import figures
from ui.routes.data import data_routes
from ui.state import Point, State
from vidsearch.playback.media import Media

SQUARE = (Point(-0.3, -0.3), Point(0.3, -0.3), Point(0.3, 0.3), Point(-0.3, 0.3))


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    vectors = np.random.default_rng(0).normal(size=(200, 8))
    index = made(folder / "index", vectors, kind=["ab"[row % 2] for row in range(200)], caption=["a dog", "<b>cat"] * 100)
    return Explorer(index, Media(index, folder, folder / "cache"), cache=folder / "cache")


@pytest.fixture(scope="module")
def client(explorer):
    application = FastAPI()
    application.include_router(data_routes(lambda: explorer))
    with TestClient(application) as client:
        yield client


STATES = [State(tab="dataset"), State(where="kind = 'a'"), State(lasso=SQUARE), State(where="kind = 'a'", lasso=SQUARE)]


@pytest.mark.parametrize("state", STATES)
def test_the_data_set_is_counted_under_filter_and_lasso(client, explorer, state):
    answer = client.get(f"/data/dataset?{state.to_params()}")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == figures(explorer.index, explorer.ranker.selections(state))
    assert 0 < answer.json()["clips"] <= (100 if state.where else 200)


def test_the_map_marks_results_and_what_passes(client, explorer):
    state = State(like=("c5",), where="kind = 'b'", color="kind", tab="map")
    answer = client.get(f"/data/map?{state.to_params()}").json()
    ranked = explorer.ranker.rank(state).rows
    assert answer == explorer.map.payload("kind", ranked, explorer.ranker.selections(state))
    assert [one["id"] for one in answer["top"]] == [f"c{row}" for row in ranked[:24].tolist()]
    plain = client.get(f"/data/map?have={answer['key']}").json()
    assert (plain["points"], plain["top"], plain["passing"], plain["count"]) == ("", [], "", 200)


def test_a_point_says_its_clip(client):
    assert client.get("/data/point?i=7").json()["caption"] == "<b>cat"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("dataset?where=kind+%3D", "something is missing"),
        ("dataset?where=nothing+%3D+1", "nothing"),
        ("dataset?page=x", "page"),
        ("dataset?lasso=1,2,3", "lasso"),
        ("map?color=caption", "cannot be coloured"),
        ("map?like=nobody", "nobody"),
        ("point?i=200", "no point 200"),
        ("point?i=-1", "must be the number of a point"),
        ("point?i=" + "9" * 400, "must be the number of a point"),
        ("point", "must be the number of a point"),
        ("map?q=" + "a" * 65_000, "characters"),
    ],
)
def test_what_cannot_be_asked_is_one_line(client, path, said):
    answer = client.get(f"/data/{path}")
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]
    assert len(answer.json()["error"]) < 500

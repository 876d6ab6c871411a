// One queue of actions to the server, each on the state that the one before left; all state is the URL's query string. The server answers
// with {params} and the areas that changed, and keeps nothing.
import { $, tell } from "./dom.js";

const SLOW_MS = 8000;
const ASKED_AGAIN = 5; // times SLOW_MS without an answer
const MAX_TEXT = 4096;
const UNANSWERED = "vidsearch-unanswered"; // what was asked when the server went away: Gradio reloads the page when it is back

export const page = { params: location.search.slice(1), shown: false };
export const question = () => new URLSearchParams(page.params);
/** What is being asked, or null. */
export const asked = () => running && running.action;

const waiting = [];
let send = null;
let running = null; // {n, action, replace, timer}
let number = 0;

export const act = (action, { replace = false } = {}) => {
  for (const text of [action.q, action.nots, action.sql]) {
    if ((text || "").length > MAX_TEXT) {
      return tell(`That text has ${text.length.toLocaleString("en")} characters; ${MAX_TEXT.toLocaleString("en")} are allowed. Shorten it.`);
    }
  }
  waiting.push({ action, replace });
  pump();
};

export const ready = (trigger) => {
  send = (data) => trigger("click", data);
  if (page.shown) return;
  act({ kind: "goto", params: page.params }, { replace: true });
  const asked = JSON.parse(sessionStorage.getItem(UNANSWERED) || "null");
  if (asked && asked.params === page.params) act(asked.action);
  sessionStorage.removeItem(UNANSWERED);
};

function pump() {
  if (running || !send || !waiting.length) return;
  running = { n: ++number, ...waiting.shift() };
  document.body.classList.add("vs-busy");
  dispatch();
}

function dispatch() {
  running.timer = setTimeout(() => ask(running.n), SLOW_MS);
  send({ n: running.n, params: page.params, action: running.action, whole: !page.shown });
}

async function ask(n) { // nothing came for a while: is the server there?
  if (!running || running.n !== n) return;
  if (await alive()) { // it is busy, or its queue was full: ask again, for an answer leaves nothing behind on the server
    running.waits = (running.waits || 0) + 1;
    tell("The server is busy. The page goes on when the answer is there.");
    if (running.waits % ASKED_AGAIN === 0) { running.n = ++number; dispatch(); } else running.timer = setTimeout(() => ask(n), SLOW_MS);
    return;
  }
  tell("The server does not answer. Is `vidsearch ui` still running? The page goes on when it is back.");
  sessionStorage.setItem(UNANSWERED, JSON.stringify({ params: page.params, action: running.action }));
  while (!(await alive())) await new Promise((wake) => setTimeout(wake, 1000));
  tell("");
  if (running && running.n === n) { running.n = ++number; dispatch(); }
}

const alive = () => fetch("/alive", { cache: "no-store" }).then((answer) => answer.ok, () => false);

export const answer = (element) => { // the server's hidden line about the state that its areas show
  const told = $("[data-n]", element);
  if (!told) return;
  const { params, done, n } = told.dataset;
  if (!running || Number(n) !== running.n) return;
  const changed = params !== page.params || !page.shown;
  page.shown = true;
  page.params = params;
  if (changed) remember(running.replace);
  document.dispatchEvent(new CustomEvent("vs-answered", { detail: { changed } }));
  if (done === "1") {
    clearTimeout(running.timer);
    if (running.waits) tell("");
    if (running.action.kind !== "goto") sessionStorage.removeItem(UNANSWERED);
    running = null;
    document.body.classList.remove("vs-busy");
    pump();
  }
};

function remember(replace) {
  const url = page.params ? `?${page.params}` : location.pathname;
  if (replace) history.replaceState(null, "", url);
  else if (location.search.slice(1) !== page.params) history.pushState(null, "", url);
}

addEventListener("popstate", () => act({ kind: "goto", params: location.search.slice(1) }, { replace: true }));

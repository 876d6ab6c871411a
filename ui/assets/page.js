// The page: one queue of actions to the server, the URL, keys, hover previews, the player and the cart.
// All state is the URL's query string; the server answers {params} and the areas that changed. What comes from data is set as text.
"use strict";
(() => {
  const SLOW_MS = 8000;
  const ASKED_AGAIN = 5; // times SLOW_MS without an answer
  const HOVER_MS = 140;
  const MAX_TEXT = 4096;
  const MAX_UPLOAD = 64e6;
  const UNANSWERED = "vidsearch-unanswered"; // what was asked when the server went: Gradio opens the page anew once another one is there
  const MAX_CART = 100000;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const vs = (window.vs = { params: location.search.slice(1), shown: false });
  const question = () => new URLSearchParams(vs.params);

  // ---- actions: one at a time, each on the state that the one before left ----
  const waiting = [];
  let send = null;
  let running = null; // {n, action, replace, timer}
  let number = 0;

  vs.act = (action, { replace = false } = {}) => {
    for (const text of [action.q, action.nots, action.sql]) {
      if ((text || "").length > MAX_TEXT) {
        return tell(`That text has ${text.length.toLocaleString("en")} characters; ${MAX_TEXT.toLocaleString("en")} are allowed. Shorten it.`);
      }
    }
    waiting.push({ action, replace });
    pump();
  };

  vs.ready = (trigger) => {
    send = (data) => trigger("click", data);
    if (vs.shown) return;
    vs.act({ kind: "goto", params: vs.params }, { replace: true });
    const asked = JSON.parse(sessionStorage.getItem(UNANSWERED) || "null");
    if (asked && asked.params === vs.params) vs.act(asked.action);
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
    send({ n: running.n, params: vs.params, action: running.action, whole: !vs.shown });
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
    sessionStorage.setItem(UNANSWERED, JSON.stringify({ params: vs.params, action: running.action }));
    while (!(await alive())) await new Promise((wake) => setTimeout(wake, 1000));
    tell("");
    if (running && running.n === n) { running.n = ++number; dispatch(); }
  }

  const alive = () => fetch("/alive", { cache: "no-store" }).then((answer) => answer.ok, () => false);

  vs.answer = (element) => { // the server's hidden line about the state that its areas show
    const told = $("[data-n]", element);
    if (!told) return;
    const { params, done, n } = told.dataset;
    if (!running || Number(n) !== running.n) return;
    const changed = params !== vs.params || !vs.shown;
    vs.shown = true;
    vs.params = params;
    if (changed) remember(running.replace);
    if (changed) drawTab();
    vs.player();
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
    const url = vs.params ? `?${vs.params}` : location.pathname;
    if (replace) history.replaceState(null, "", url);
    else if (location.search.slice(1) !== vs.params) history.pushState(null, "", url);
  }

  addEventListener("popstate", () => vs.act({ kind: "goto", params: location.search.slice(1) }, { replace: true }));

  function tell(text) {
    const place = $("#vs-told");
    if (!place) return;
    place.hidden = !text;
    $("span", place).textContent = text;
  }

  // ---- tabs ----
  let drawn = "";
  function drawTab() {
    const tab = question().get("tab") || "search";
    document.body.dataset.tab = tab;
    $$("[data-tab-name]").forEach((button) => button.setAttribute("aria-selected", String(button.dataset.tabName === tab)));
    const place = $(`#vs-${tab}-place`);
    const wanted = `${tab}?${vs.params}`;
    if (!place || !window.vsCharts || drawn === wanted) return;
    drawn = wanted;
    window.vsCharts[tab](place, vs.params, vs.act);
  }

  // ---- clicks ----
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-act], [data-pick], [data-control], [data-dismiss], [data-tab-name], [data-page]");
    if (!target) return;
    const { act, pick, control, tabName, page } = target.dataset;
    if (act) vs.act(JSON.parse(act));
    else if (pick) toggleCart(pick);
    else if (control) controls[control]();
    else if (tabName) vs.act({ kind: "tab", tab: tabName });
    else if (page) pages[page](target);
    else target.closest(".vs-problem").hidden = true;
  });

  const pages = {
    theme() {
      const dark = document.body.classList.toggle("dark");
      localStorage.setItem("vidsearch-theme", dark ? "dark" : "light");
      drawn = "";
      drawTab();
    },
    facets() { document.body.classList.toggle("vs-facets-open"); },
    drop() { $("#vs-file").click(); },
    cart() { showCart(); },
    closeCart() { $("#vs-cart").close(); },
    emptyCart() { cart.clear(); saveCart(); showCart(); },
    exportCart() { exportClips({ ids: [...cart] }); },
    exportAll() { exportClips({ params: vs.params }); },
  };

  document.addEventListener("change", (event) => {
    const ends = event.target.closest("[data-ends]");
    if (ends) {
      const [low, high] = $$("input", ends).map((input) => input.value.trim());
      vs.act({ kind: "range", column: ends.dataset.ends, low: low || null, high: high || null });
    } else if (event.target.id === "vs-file" && event.target.files.length) upload(event.target.files[0]);
  });

  // ---- a histogram is dragged over ----
  document.addEventListener("pointerdown", (event) => {
    const picture = event.target.closest("svg[data-range]");
    if (!picture) return;
    const edges = picture.dataset.edges.split(" ").map(Number);
    const bins = edges.length - 1;
    const box = picture.getBoundingClientRect();
    const bin = (at) => Math.min(bins - 1, Math.max(0, Math.floor(((at.clientX - box.left) / box.width) * bins)));
    const from = bin(event);
    let to = from;
    const paint = () => $$("rect", picture).forEach((bar, place) =>
      bar.classList.toggle("is-in", place >= Math.min(from, to) && place <= Math.max(from, to)));
    const move = (at) => { to = bin(at); paint(); };
    const end = () => {
      removeEventListener("pointermove", move);
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      vs.act({ kind: "range", column: picture.dataset.range, low: first ? edges[first] : null, high: last < bins - 1 ? edges[last + 1] : null });
    };
    paint();
    event.preventDefault();
    addEventListener("pointermove", move);
    addEventListener("pointerup", end, { once: true });
  });

  // ---- hover plays a silent preview ----
  let hover = null;
  document.addEventListener("pointerover", (event) => {
    const shot = event.target.closest(".vs-shot");
    if (shot === (hover && hover.shot) || event.pointerType === "touch") return;
    stopHover();
    if (!shot) return;
    hover = { shot, timer: setTimeout(() => preview(shot), HOVER_MS) };
  });
  function stopHover() {
    if (!hover) return;
    clearTimeout(hover.timer);
    $$("video", hover.shot).forEach((video) => { video.removeAttribute("src"); video.load(); video.remove(); });
    hover = null;
  }
  async function preview(shot) {
    const clip = shot.closest("[data-clip]").dataset.clip;
    const about = await fetch(`/media/playback/${encodeURIComponent(clip)}`).then((answer) => (answer.ok ? answer.json() : null), () => null);
    if (!about || about.why || !hover || hover.shot !== shot) return;
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, src: `${about.url}#t=${about.start_s},${about.end_s}` });
    video.setAttribute("aria-hidden", "true");
    video.addEventListener("loadeddata", () => video.classList.add("is-on"), { once: true });
    bind(video, about.start_s, about.end_s, () => true);
    shot.prepend(video);
    video.play().catch(() => {});
  }

  // A video plays from start to end; at the end it starts again, or stays on the last frame.
  function bind(video, start, end, loops) {
    const watch = () => {
      if (video.currentTime >= end - 0.02 || video.ended) {
        if (loops()) { video.currentTime = start; video.play().catch(() => {}); } else { video.pause(); }
      }
      if (video.isConnected && !video.paused) requestAnimationFrame(watch);
    };
    video.addEventListener("play", () => {
      if (video.currentTime < start - 0.05 || video.currentTime >= end - 0.03) video.currentTime = start;
      requestAnimationFrame(watch);
    });
    video.addEventListener("ended", watch);
  }

  // ---- the player ----
  let loop = true;
  vs.player = () => {
    const element = $("#vs-player");
    const panel = $(".vs-player", element);
    if (panel && panel.dataset.bound) return;
    if (panel) panel.dataset.bound = "1";
    document.body.classList.toggle("vs-playing", Boolean(panel));
    $$(".vs-card").forEach((card) => card.classList.toggle("is-open", Boolean(panel) && card.dataset.clip === panel.dataset.playing));
    paintCart();
    const video = $("video", element);
    if (!video) return;
    const { start, end } = span(video);
    const seek = $(".vs-seek", element);
    const now = $("[data-now]", element);
    const show = () => {
      if (!video.isConnected) return; // the panel was drawn anew; what is gone still tells that it stopped
      const at = Math.min(Math.max(video.currentTime - start, 0), end - start);
      seek.value = String(Math.round((1000 * at) / Math.max(end - start, 0.001)));
      now.textContent = clock(at);
      const button = $('[data-control="play"]', element);
      button.setAttribute("aria-pressed", String(!video.paused));
    };
    bind(video, start, end, () => loop);
    for (const event of ["timeupdate", "play", "pause", "seeked"]) video.addEventListener(event, show);
    video.addEventListener("loadedmetadata", () => { if (video.currentTime < start - 0.05) video.currentTime = start; }, { once: true });
    video.addEventListener("error", async () => {
      if (!video.isConnected) return;
      const said = document.createElement("p");
      const answer = await fetch(video.getAttribute("src").split("#")[0], { headers: { Range: "bytes=0-0" } }).catch(() => null);
      said.textContent = answer && answer.status >= 400 ? await answer.text() : "This browser cannot play the file.";
      video.parentElement.classList.add("is-missing");
      video.replaceWith(said);
    });
    seek.addEventListener("input", () => { video.pause(); video.currentTime = start + (seek.value / 1000) * (end - start); });
    $$('[data-control="loop"]', element).forEach((button) => button.setAttribute("aria-pressed", String(loop)));
    const current = $('.vs-near[aria-current="true"]', element);
    if (current) current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.clientWidth / 2 + current.clientWidth / 2;
    video.play().catch(() => {});
  };

  const span = (video) => ({ start: Number(video.dataset.start), end: Number(video.dataset.end), fps: Number(video.dataset.fps) || 25 });
  const playing = () => $(".vs-player video");
  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;

  function frame(step) {
    const video = playing();
    if (!video) return;
    const { start, end, fps } = span(video);
    video.pause();
    const here = Math.floor((video.currentTime - start) * fps + 0.01);
    const last = Math.max(0, Math.ceil((end - start) * fps - 0.01) - 1);
    video.currentTime = start + (Math.min(Math.max(here + step, 0), last) + 0.5) / fps;
  }

  const controls = {
    play() { const video = playing(); if (video) video.paused ? video.play().catch(() => {}) : video.pause(); },
    back() { frame(-1); },
    forward() { frame(1); },
    loop() {
      loop = !loop;
      $$('[data-control="loop"]').forEach((button) => button.setAttribute("aria-pressed", String(loop)));
    },
    sound() {
      const video = playing();
      if (!video) return;
      video.muted = !video.muted;
      $('[data-control="sound"]').setAttribute("aria-pressed", String(!video.muted));
    },
  };

  // ---- keys ----
  const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input:not([type=range]), textarea, select, [role=listbox], [contenteditable]");
    if (event.key === "Escape" && $("#vs-cart[open]")) return;
    if (event.key === "Escape") return typing ? event.target.blur() : question().get("clip") && vs.act({ kind: "close" });
    if (typing || $("#vs-cart[open]")) return;
    const card = event.target.closest(".vs-card") || $(".vs-card.is-open") || $(".vs-card.is-near");
    if (event.key === "/") { event.preventDefault(); $("#vs-q textarea, #vs-q input").focus(); }
    else if (event.key in ARROWS && event.target.type !== "range") move(event, card);
    else if (event.key === " " && !event.target.closest("button, summary, a")) { event.preventDefault(); playing() ? controls.play() : card && openCard(card); }
    else if (event.key === " " && event.target.closest(".vs-card")) { event.preventDefault(); openCard(event.target.closest(".vs-card")); }
    else if (event.key === "s") { const clip = card ? card.dataset.clip : question().get("clip"); if (clip) toggleCart(clip); }
    else if (event.key === ",") controls.back();
    else if (event.key === ".") controls.forward();
  });

  function openCard(card) {
    if (playing() && card.classList.contains("is-open")) controls.play();
    else vs.act({ kind: "open", id: card.dataset.clip });
  }

  function move(event, card) {
    const cards = $$(".vs-card");
    if (!cards.length || document.body.dataset.tab !== "search") return;
    event.preventDefault();
    const columns = cards.filter((other) => other.offsetTop === cards[0].offsetTop).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const place = card ? cards.indexOf(card) : -1;
    const next = cards[place < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, place + step))];
    cards.forEach((other) => other.classList.toggle("is-near", other === next));
    $(".vs-open", next).focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    if (question().get("clip") && next !== card) vs.act({ kind: "open", id: next.dataset.clip }, { replace: true });
  }

  // ---- the cart: in this browser, by index ----
  let cart = new Set();
  const cartKey = () => `vidsearch-cart-${document.body.dataset.index || ""}`;
  function loadCart() {
    try { cart = new Set(JSON.parse(localStorage.getItem(cartKey()) || "[]")); } catch { cart = new Set(); }
    paintCart();
  }
  function saveCart() {
    localStorage.setItem(cartKey(), JSON.stringify([...cart]));
    paintCart();
  }
  addEventListener("storage", (event) => { if (event.key === cartKey()) loadCart(); });
  function toggleCart(clip) {
    if (cart.delete(clip)) return saveCart();
    if (cart.size >= MAX_CART) return tell(`The cart holds ${MAX_CART.toLocaleString("en")} clips, no more; export all that match instead.`);
    cart.add(clip);
    saveCart();
  }
  function paintCart() {
    $$("[data-pick]").forEach((button) => {
      const chosen = cart.has(button.dataset.pick);
      button.setAttribute("aria-pressed", String(chosen));
      if (button.classList.contains("vs-pick-long")) button.textContent = chosen ? "Selected" : "Select";
      const card = button.closest(".vs-card");
      if (card) card.classList.toggle("is-picked", chosen);
    });
    $$("[data-cart-count]").forEach((place) => { place.textContent = cart.size.toLocaleString("en"); });
  }
  function showCart() {
    const list = $("#vs-cart-list");
    list.replaceChildren(...[...cart].slice(0, 60).map((clip) => {
      const item = document.createElement("li");
      const picture = Object.assign(document.createElement("img"), { src: `/media/poster/${encodeURIComponent(clip)}?w=160`, alt: `Clip ${clip}`, loading: "lazy" });
      const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
      remove.setAttribute("aria-label", `Remove clip ${clip}`);
      remove.addEventListener("click", () => { cart.delete(clip); saveCart(); showCart(); });
      item.append(picture, remove);
      return item;
    }));
    $("#vs-cart-more").textContent = cart.size > 60 ? `and ${(cart.size - 60).toLocaleString("en")} more` : cart.size ? "" : "No clip is selected yet. Select clips with their tick, or with the key s.";
    $('[data-page="exportCart"]').disabled = $('[data-page="emptyCart"]').disabled = !cart.size;
    const headline = $("#vs-headline");
    $("#vs-cart-all").textContent = headline ? headline.textContent.trim() : "";
    if (!$("#vs-cart").open) $("#vs-cart").showModal();
  }
  async function exportClips(what) {
    const said = $("#vs-cart-said");
    said.textContent = "Writing the file …";
    try {
      const answer = await post("/export", JSON.stringify({ ...what, form: $("#vs-form").value }), { "Content-Type": "application/json" });
      const lost = answer.missing ? `; ${answer.missing.toLocaleString("en")} of those selected are no longer in the index` : "";
      said.textContent = `${answer.rows.toLocaleString("en")} clips: ${answer.name}${lost}`;
      Object.assign(document.createElement("a"), { href: answer.url, download: answer.name }).click();
    } catch (error) {
      said.textContent = error.message;
    }
  }

  async function post(url, body, headers) {
    const answer = await fetch(url, { method: "POST", body, headers: { "X-Vidsearch": "1", ...headers } })
      .catch(() => { throw new Error("The server does not answer. Is `vidsearch ui` still running?"); });
    const said = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
    if (!answer.ok) throw new Error(said.error || `The server answered ${answer.status}.`);
    return said;
  }

  // ---- a picture or a video is dropped in, pasted, or chosen ----
  async function upload(file) {
    if (file.size > MAX_UPLOAD) return tell(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; pictures and short videos of up to 64 MB can be searched with.`);
    tell(`Looking at ${file.name} …`);
    try {
      const { name } = await post("/upload", file, { "X-Name": encodeURIComponent(file.name), "Content-Type": "application/octet-stream" });
      tell("");
      vs.act({ kind: "upload", name });
    } catch (error) { tell(error.message); }
    $("#vs-file").value = "";
  }
  addEventListener("dragover", (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); document.body.classList.add("vs-dropping"); } });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("vs-dropping"); });
  addEventListener("drop", (event) => {
    document.body.classList.remove("vs-dropping");
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    upload(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => { if (event.clipboardData && event.clipboardData.files.length) upload(event.clipboardData.files[0]); });

  // ---- areas that Gradio has drawn anew ----
  vs.results = () => {
    paintCart();
    $$("img", $("#vs-results")).forEach((picture) => picture.addEventListener("error", () => picture.classList.add("is-broken"), { once: true }));
    if (vs.shown && running && running.action.kind === "page") $("#vs-main").scrollIntoView({ block: "start" });
  };
  vs.header = () => {
    document.body.dataset.index = $("[data-index]").dataset.index;
    const theme = localStorage.getItem("vidsearch-theme");
    if (theme) document.body.classList.toggle("dark", theme === "dark");
    loadCart();
    drawTab();
  };
})();

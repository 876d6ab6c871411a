// The Map tab: up to 100,000 points on a canvas, written pixel by pixel, which needs no WebGL; drag, zoom, hover, click, lasso.
import { Painter } from "/page/painter.js";
import { simplified } from "/page/shapes.js";

const { make, number, fetch: ask, newest } = window.vsChartKit;
const CORNERS = 40; // of a lasso, at most
const REACH = 9; // css pixels from the pointer to the point meant
const HOVER_MS = 90;
const KEPT_POINTS = 400;

const shown = new WeakMap(); // element → its view

/** Draw the map of a state into an element; the points are fetched once, what a state changes of them each time. */
export async function map(element, params, act) {
  if (!shown.has(element)) shown.set(element, new View(element));
  const view = shown.get(element);
  view.act = act;
  const chosen = new URLSearchParams(params);
  for (const name of ["page", "clip", "tab", "sort", "group"]) chosen.delete(name);
  if (view.key) chosen.set("have", view.key);
  await newest(element, (signal) => ask(`/data/map?${chosen}`, signal), (said) => view.show(said, new URLSearchParams(params).get("lasso") || ""));
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

class View {
  constructor(element) {
    this.element = element;
    this.key = "";
    this.lassoing = false;
    this.points = new Map(); // number → what is written there
    this.canvas = make("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map" });
    this.tip = make("div", { class: "vs-map-tip", hidden: true, "aria-hidden": "true" });
    this.stage = make("div", { class: "vs-map-stage" }, this.canvas, this.tip);
    this.bar = make("div", { class: "vs-map-bar" });
    this.legend = make("div", { class: "vs-map-legend" });
    this.note = make("p", { class: "vs-map-note" });
    this.groups = make("details", { class: "vs-map-groups" });
    this.note.textContent = "Placing the clips …";
    element.replaceChildren(this.bar, this.stage, this.legend, this.note, this.groups);
    this.painter = new Painter(this.canvas);
    new ResizeObserver(() => this.painter.resize()).observe(this.stage);
    new MutationObserver(() => { this.painter.draw(); if (this.said) this.showLegend(); }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.listen();
  }

  show(said, lasso) {
    this.element.querySelectorAll(".vs-chart-error, .vs-chart-wait").forEach((line) => line.remove());
    this.said = said;
    const unpacked = said.points ? { points: new Float32Array(bytes(said.points).buffer) } : {};
    if (said.points) this.points.clear();
    this.key = said.key;
    const passing = said.passing ? bytes(said.passing) : null;
    this.painter.set({
      ...unpacked, codes: bytes(said.codes), kind: said.legend.kind, passing: passing && Uint8Array.from({ length: said.count }, (_, i) => (passing[i >> 3] >> (i & 7)) & 1),
      results: new Uint32Array(bytes(said.results).buffer), top: said.top, groups: said.groups,
      lasso: lasso ? lasso.split(";").map((corner) => corner.split(",").map(Number)) : [],
    });
    this.canvas.setAttribute("aria-label", `Map of ${number(said.count)} clips. Arrow keys move it, plus and minus zoom, 0 shows all; the groups below can be chosen without a pointer.`);
    this.showBar();
    this.showLegend();
    this.showGroups();
    this.note.textContent = said.note;
  }

  showBar() {
    const { color, columns } = this.said;
    const option = (value, text) => { const made = make("option", { value, text }); made.selected = value === color; return made; };
    const select = make("select", { onchange: () => this.act({ kind: "color", column: select.value }) }, option("", "nothing"), ...columns.map((name) => option(name.name, name.label)));
    const tool = (text, label, action, pressed) => make("button", { type: "button", class: "vs-action", "aria-label": label, title: label, "aria-pressed": pressed, text, onclick: action });
    const focused = this.bar.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    const tools = [
      ...(this.painter.lasso.length ? [tool("Clear lasso", "Clear the lasso", () => this.act({ kind: "lasso", corners: [] }))] : []),
      tool("Lasso", "Lasso: circle clips to filter by them", () => { this.lassoing = !this.lassoing; this.canvas.classList.toggle("is-lasso", this.lassoing); this.showBar(); }, String(this.lassoing)),
      tool("−", "Zoom out", () => this.painter.zoom(1 / 1.5)),
      tool("+", "Zoom in", () => this.painter.zoom(1.5)),
      tool("Fit", "Fit the whole map", () => this.painter.fit()),
    ];
    this.bar.replaceChildren(make("label", {}, "Colour by", select), make("div", { class: "vs-map-tools", role: "group", "aria-label": "Map tools" }, ...tools));
    if (focused) [...this.bar.querySelectorAll("[aria-label]")].find((one) => one.getAttribute("aria-label") === focused)?.focus();
  }

  showLegend() {
    const { legend, color, top } = this.said;
    const dot = (code) => { const made = make("i"); made.style.background = this.painter.css(code); return made; };
    const parts = [];
    if (legend.kind === "values") {
      for (const { label, value, count, code } of legend.entries) {
        const inner = [dot(code), label, make("small", { text: number(count) })];
        const action = code === 255 ? { kind: "toggle", column: color, value: null } : value === null ? null : { kind: "toggle", column: color, value };
        parts.push(action ? make("button", { type: "button", title: "Filter by it", onclick: () => this.act(action) }, ...inner) : make("span", {}, ...inner));
      }
    } else if (legend.kind === "numbers") {
      const ramp = make("i", { class: "vs-map-ramp" });
      ramp.style.cssText = `width:140px;border-radius:5px;background:linear-gradient(90deg, ${[0, 64, 127, 190, 254].map((code) => this.painter.css(code)).join(", ")})`;
      parts.push(make("span", {}, legend.low, ramp, legend.high));
      if (legend.missing) parts.push(make("span", {}, dot(255), "missing", make("small", { text: number(legend.missing) })));
    }
    if (top.length) parts.push(make("span", {}, make("i", { class: "is-ring" }), "current results"));
    this.legend.replaceChildren(...parts);
  }

  showGroups() {
    const { groups } = this.said;
    const open = this.groups.open;
    const item = ({ name, count, border }) => make("li", {},
      border.length ? make("button", { type: "button", text: name || "(no common words)", title: "Filter by this group", onclick: () => this.act({ kind: "lasso", corners: border }) }) : name,
      make("span", { text: number(count) }));
    this.groups.replaceChildren(make("summary", { text: `${groups.length} groups, named by words of their captions` }), make("ul", {}, ...groups.map(item)));
    this.groups.open = open;
  }

  // ---- pointer and keys ----
  listen() {
    const { canvas } = this;
    const held = new Map();
    let moved = 0, path = null, spread = 0;
    const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      held.set(event.pointerId, at(event));
      moved = 0;
      path = held.size === 1 && (this.lassoing || event.shiftKey) ? [this.painter.toData(...at(event))] : null;
      this.hideTip();
    });
    canvas.addEventListener("pointermove", (event) => {
      const [x, y] = at(event);
      const before = held.get(event.pointerId);
      if (!before) return this.hover(x, y);
      held.set(event.pointerId, [x, y]);
      moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
      if (held.size === 2) {
        const [one, two] = [...held.values()];
        const now = Math.hypot(one[0] - two[0], one[1] - two[1]);
        if (spread) this.painter.zoom(now / spread, (one[0] + two[0]) / 2, (one[1] + two[1]) / 2);
        spread = now;
        path = null;
      } else if (path) {
        path.push(this.painter.toData(x, y));
        this.painter.sketch(path);
      } else if (moved > 3) this.painter.pan(x - before[0], y - before[1]);
    });
    const end = (event) => {
      if (!held.delete(event.pointerId)) return;
      spread = 0;
      const drawn = path;
      path = null;
      this.painter.sketch(null);
      if (event.type === "pointercancel") return;
      if (drawn && drawn.length > 2 && moved > 12) this.finish(drawn);
      else if (moved <= 3) this.click(...at(event));
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => this.hideTip());
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.hideTip(); this.painter.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...at(event)); }, { passive: false });
    canvas.addEventListener("dblclick", () => this.painter.fit());
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
      if (step) this.painter.pan(...step);
      else if (event.key === "+" || event.key === "=") this.painter.zoom(1.5);
      else if (event.key === "-") this.painter.zoom(1 / 1.5);
      else if (event.key === "0") this.painter.fit();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  finish(path) {
    const corners = simplified(path, CORNERS);
    if (corners.length < 3) return;
    this.lassoing = false;
    this.canvas.classList.remove("is-lasso");
    this.painter.lasso = corners;
    this.painter.draw();
    this.showBar();
    this.act({ kind: "lasso", corners });
  }

  async click(x, y) {
    const best = this.painter.topAt(x, y, REACH);
    if (best) return this.act({ kind: "open", id: best.id });
    const found = this.painter.nearest(x, y, REACH);
    if (found < 0) return;
    const told = await this.point(found).catch(() => null);
    if (told) this.act({ kind: "open", id: told.clip_id });
  }

  hover(x, y) {
    const found = this.painter.nearest(x, y, REACH);
    this.canvas.classList.toggle("is-over", found >= 0);
    if (found === this.over) return;
    this.hideTip();
    this.over = found;
    this.canvas.classList.toggle("is-over", found >= 0);
    if (found >= 0) this.timer = setTimeout(() => this.showTip(found), HOVER_MS);
  }

  async showTip(found) {
    const told = await this.point(found).catch(() => null);
    if (!told || this.over !== found) return;
    const picture = make("img", { src: `/media/poster/${encodeURIComponent(told.clip_id)}?w=320`, alt: "", onerror: () => picture.classList.add("is-broken") });
    this.tip.replaceChildren(picture, make("p", { text: told.caption || told.video }));
    this.tip.hidden = false;
    const [x, y] = this.painter.toScreen(found);
    const { clientWidth: width, clientHeight: height } = this.stage;
    const left = x + 14 + 216 > width ? x - 14 - 216 : x + 14;
    this.tip.style.left = `${Math.max(4, Math.min(left, width - 220))}px`;
    this.tip.style.top = `${Math.max(4, Math.min(y - 40, height - this.tip.offsetHeight - 4))}px`;
    this.painter.mark(found);
  }

  hideTip() {
    clearTimeout(this.timer);
    this.over = -1;
    if (!this.tip.hidden) { this.tip.hidden = true; this.tip.replaceChildren(); this.painter.mark(-1); }
    this.canvas.classList.remove("is-over");
  }

  point(i) {
    if (!this.points.has(i)) {
      if (this.points.size >= KEPT_POINTS) this.points.clear();
      const asked = ask(`/data/point?i=${i}`);
      this.points.set(i, asked);
      asked.catch(() => this.points.delete(i));
    }
    return this.points.get(i);
  }
}

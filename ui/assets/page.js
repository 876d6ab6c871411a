// The page: tabs, clicks, and the areas that Gradio draws anew. Gradio's own scripts reach it as window.vs.
import { $, $$ } from "./dom.js";
import { act, answer, asked, page, question, ready } from "./actions.js";
import { cartButtons, loadCart, paintCart, toggleCart, upload } from "./cart.js";
import { controls, drawPlayer } from "./player.js";
import "./charts.js";
import "./keys.js";

// ---- tabs ----
let drawn = "";
function drawTab() {
  const tab = question().get("tab") || "search";
  document.body.dataset.tab = tab;
  $$("[data-tab-name]").forEach((button) => button.setAttribute("aria-selected", String(button.dataset.tabName === tab)));
  const place = $(`#vs-${tab}-place`);
  const wanted = `${tab}?${page.params}`;
  if (!place || !window.vsCharts || drawn === wanted) return;
  drawn = wanted;
  window.vsCharts[tab](place, page.params, act);
}

// ---- clicks ----
document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-act], [data-pick], [data-control], [data-dismiss], [data-tab-name], [data-page]");
  if (!target) return;
  const { act: action, pick, control, tabName, page: named } = target.dataset;
  if (action) act(JSON.parse(action));
  else if (pick) toggleCart(pick);
  else if (control) controls[control]();
  else if (tabName) act({ kind: "tab", tab: tabName });
  else if (named) buttons[named](target);
  else target.closest(".vs-problem").hidden = true;
});

const buttons = {
  theme() {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("vidsearch-theme", dark ? "dark" : "light");
    drawn = "";
    drawTab();
  },
  facets() { document.body.classList.toggle("vs-facets-open"); },
  drop() { $("#vs-file").click(); },
  ...cartButtons,
};

document.addEventListener("change", (event) => {
  const ends = event.target.closest("[data-ends]");
  if (ends) {
    const [low, high] = $$("input", ends).map((input) => input.value.trim());
    act({ kind: "range", column: ends.dataset.ends, low: low || null, high: high || null });
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
    act({ kind: "range", column: picture.dataset.range, low: first ? edges[first] : null, high: last < bins - 1 ? edges[last + 1] : null });
  };
  paint();
  event.preventDefault();
  addEventListener("pointermove", move);
  addEventListener("pointerup", end, { once: true });
});

// ---- areas that Gradio has drawn anew ----
const results = () => {
  paintCart();
  $$("img", $("#vs-results")).forEach((picture) => picture.addEventListener("error", () => picture.classList.add("is-broken"), { once: true }));
  if (page.shown && asked() && asked().kind === "page") $("#vs-main").scrollIntoView({ block: "start" });
};
const header = () => {
  document.body.dataset.index = $("[data-index]").dataset.index;
  const theme = localStorage.getItem("vidsearch-theme");
  if (theme) document.body.classList.toggle("dark", theme === "dark");
  loadCart();
  drawTab();
};

document.addEventListener("vs-answered", ({ detail }) => {
  if (detail.changed) drawTab();
  drawPlayer();
});

window.vs = { act, answer, header, ready, results, player: drawPlayer, get params() { return page.params; }, get shown() { return page.shown; } };

// The Dataset tab: headline numbers and plotly charts of what /data/dataset counts; a click on a bar filters. The Map tab is in map.js.
// What a data set says is set as text; plotly's own labels come escaped from the server.
"use strict";
(() => {
  const SLOW_MS = 250; // before it is said that something is being counted
  const HEIGHT = 208;
  const BARS = 7; // places of bars in a chart of few values, so that bars are as thick everywhere
  const once = (make) => { let made; return () => (made ||= make()); };

  const script = (src) => new Promise((loaded, failed) => {
    document.head.append(Object.assign(document.createElement("script"), { src, onload: loaded, onerror: () => failed(new Error(`${src} could not be loaded`)) }));
  });
  const styles = once(() => new Promise((loaded) => {
    document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: "/page/charts.css", onload: loaded, onerror: loaded }));
  }));
  const plotly = once(() => script("/page/plotly.min.js"));
  const mapModule = once(() => import("/page/map.js"));

  const kit = (window.vsChartKit = {
    make(tag, attributes = {}, ...children) {
      const element = document.createElement(tag);
      for (const [name, value] of Object.entries(attributes)) {
        if (name === "text") element.textContent = value;
        else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
        else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
      }
      element.append(...children);
      return element;
    },
    number: (value) => Number(value).toLocaleString("en"),
    color: (name) => getComputedStyle(document.body).getPropertyValue(name).trim(),
    async fetch(url, signal) {
      const answer = await fetch(url, { signal, cache: "no-store" }).catch((error) => {
        throw error.name === "AbortError" ? error : new Error("The server does not answer. Is `vidsearch ui` still running?");
      });
      const said = await answer.json().catch(() => ({ error: `The server answered ${answer.status}.` }));
      if (!answer.ok) throw new Error(said.error || `The server answered ${answer.status}.`);
      return said;
    },
    // Only the newest question of a place is answered; the one before is dropped.
    async newest(element, ask, show) {
      element.vsAsked?.abort();
      const asked = (element.vsAsked = new AbortController());
      const slow = setTimeout(() => element.classList.add("is-waiting"), SLOW_MS);
      element.setAttribute("aria-busy", "true");
      try {
        const said = await ask(asked.signal);
        if (!asked.signal.aborted) show(said);
      } catch (error) {
        if (!asked.signal.aborted) fail(element, error);
      } finally {
        clearTimeout(slow);
        if (element.vsAsked === asked) {
          element.classList.remove("is-waiting");
          element.removeAttribute("aria-busy");
        }
      }
    },
  });
  const { make, number, color } = kit;

  function fail(element, error) {
    element.querySelector(".vs-chart-error")?.remove();
    element.prepend(make("p", { class: "vs-chart-error", role: "alert", text: error.message }));
  }

  // ---- the Dataset tab ----
  let scope = "filter"; // or "all"
  const last = new Map(); // element → what it shows, to draw it again in another theme

  async function dataset(element, params, act) {
    const chosen = new URLSearchParams(params);
    const filtered = chosen.has("where") || chosen.has("lasso");
    const everything = scope === "all" || !filtered;
    if (everything) for (const name of ["where", "lasso"]) chosen.delete(name);
    if (!element.firstChild) element.append(make("p", { class: "vs-chart-wait", text: "Counting …" }));
    const again = (wanted) => { scope = wanted; dataset(element, params, act); };
    await kit.newest(
      element,
      async (signal) => (await Promise.all([kit.fetch(`/data/dataset?${chosen}`, signal), plotly(), styles()]))[0],
      (said) => { last.set(element, () => show(element, said, { act, filtered, everything, again })); last.get(element)(); },
    );
  }

  function show(element, said, view) {
    const cards = new Map([...element.querySelectorAll("[data-chart]")].map((card) => [card.dataset.chart, card]));
    const charts = said.charts.map((chart) => filled(cards.get(chart.name) || card(chart.name), chart, view.act));
    const grid = make("div", { class: "vs-charts" }, ...charts);
    element.replaceChildren(
      make("div", { class: "vs-chart-head" }, make("h2", { text: "What the clips are" }), ...(view.filtered ? [scopes(said, view)] : [])),
      make("dl", { class: "vs-numbers" }, ...said.numbers.map(headline)),
      ...(said.clips ? [make("p", { class: "vs-hint", text: "Click a bar to filter by it; click a value again to take it back." })] : [make("p", { class: "vs-empty", text: "No clip passes the filter." })]),
      grid,
    );
    said.charts.forEach((chart, place) => plot(charts[place].querySelector(".vs-plot"), chart, view.act));
  }

  function scopes(said, { everything, again }) {
    const button = (text, wanted, on) => make("button", { type: "button", class: "vs-action", "aria-pressed": String(on), text, onclick: () => again(wanted) });
    return make("div", { class: "vs-scope", role: "group", "aria-label": "Which clips" },
      button("Current filter", "filter", !everything), button(`All ${number(said.of)} clips`, "all", everything));
  }

  const headline = ({ label, value, note }) => make("div", {}, make("dt", { text: label }), make("dd", {}, make("b", { text: value }), make("span", { text: note })));

  function card(name) {
    return make("section", { class: "vs-chart", "data-chart": name }, make("h3"), make("p", { class: "vs-chart-note" }),
      make("div", { class: "vs-plot" }), make("details", {}, make("summary", { text: "Table" }), make("p", { class: "vs-chart-about" }), make("table")));
  }

  function filled(section, chart, act) {
    section.querySelector("h3").textContent = chart.title;
    section.querySelector(".vs-chart-note").textContent = chart.note || "\u00a0";
    section.querySelector(".vs-chart-about").textContent = chart.about || "";
    section.querySelector("summary").setAttribute("aria-label", `${chart.title} as a table`);
    const total = chart.rows.reduce((sum, row) => sum + row.count, 0) || 1;
    section.querySelector("table").replaceChildren(make("tbody", {}, ...chart.rows.filter((row) => row.count).map(({ label, count, action }) =>
      make("tr", {},
        make("th", { scope: "row" }, action ? make("button", { type: "button", text: label || "(empty)", onclick: () => act(action) }) : label || "(empty)"),
        make("td", { text: number(count) }), make("td", { text: `${((100 * count) / total).toFixed(1)} %` })))));
    return section;
  }

  function plot(place, chart, act) {
    const [trace] = chart.figure.data;
    const lying = trace.orientation === "h";
    const clickable = chart.rows.some((row) => row.action);
    const most = chart.rows.reduce((least, row) => (row.count > least.count ? row : least), { count: 0, label: "" });
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${chart.title}: bars of ${chart.rows.length} groups, the largest ${most.label || "none"} with ${number(most.count)}. ${chart.note}`);
    place.classList.toggle("is-clickable", clickable);
    const text = lying ? { text: chart.rows.map((row) => compact(row.count)), textposition: "outside", cliponaxis: false, constraintext: "none", textfont: { color: color("--vs-muted"), size: 11 } } : {};
    const drawn = { ...trace, ...text, marker: { color: color("--vs-accent"), line: { width: 0 } } };
    window.Plotly.react(place, [drawn], lying ? lyingLayout(chart) : standingLayout(chart), { displayModeBar: false, responsive: true, showTips: false });
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", ({ points: [point] }) => { if (point?.customdata) act(point.customdata); });
  }

  const compact = (value) => Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
  const axis = () => ({ fixedrange: true, zeroline: false, showline: false, automargin: true, gridcolor: color("--vs-line"), tickfont: { color: color("--vs-muted"), size: 11 }, tickcolor: color("--vs-line") });

  function frame(chart, own) {
    return {
      height: HEIGHT, margin: { l: 8, r: 8, t: 6, b: 8 }, bargap: 0.12, dragmode: false, showlegend: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: getComputedStyle(document.body).fontFamily, color: color("--vs-text"), size: 12 },
      hoverlabel: { bgcolor: color("--vs-text"), bordercolor: color("--vs-text"), font: { color: color("--vs-surface"), size: 12 } },
      ...chart.figure.layout, ...own,
    };
  }
  function lyingLayout(chart) {
    const most = Math.max(1, ...chart.rows.map((row) => row.count));
    const alone = matchMedia("(max-width: 720px)").matches; // below each other, charts need not be as high as their neighbours
    const places = Math.max(alone ? 1 : BARS, chart.rows.length);
    return frame(chart, {
      height: alone ? Math.min(HEIGHT, 24 * places + 16) : HEIGHT,
      hovermode: "y", bargap: 0.3,
      xaxis: { ...axis(), visible: false, range: [0, most * 1.22] },
      yaxis: { ...axis(), type: "category", range: [places - 0.5, -0.5], ticks: "", ticklabelstandoff: 4, showgrid: false },
    });
  }
  function standingLayout(chart) { // bars stand at 0, 1, 2 …; few of them in the middle, as thick as others
    const spare = Math.max(0, BARS - chart.rows.length) / 2;
    const x = { ...axis(), ...chart.figure.layout.xaxis, showgrid: false, ticks: "outside", ticklen: 4, tickangle: 0, range: [-0.5 - spare, chart.rows.length - 0.5 + spare] };
    return frame(chart, { hovermode: "x", xaxis: x, yaxis: { ...axis(), rangemode: "tozero", nticks: 4, tickformat: "~s" } });
  }

  // ---- both tabs ----
  async function map(element, params, act) {
    try {
      const [drawn] = await Promise.all([mapModule(), styles()]);
      await drawn.map(element, params, act);
    } catch (error) { fail(element, error); }
  }

  let dark = null;
  const themed = new MutationObserver(() => {
    const now = document.body.classList.contains("dark");
    if (now === dark) return;
    dark = now;
    for (const [element, draw] of last) if (element.isConnected && element.offsetParent) draw();
  });
  const watch = () => { dark = document.body.classList.contains("dark"); themed.observe(document.body, { attributes: true, attributeFilter: ["class"] }); };
  if (document.body) watch();
  else addEventListener("DOMContentLoaded", watch);

  window.vsCharts = { dataset, map };
})();

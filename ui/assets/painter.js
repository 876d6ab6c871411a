// Paints the map: points pixel by pixel (100,000 in some tens of milliseconds without a graphics card), the rest with the canvas's own strokes.
import { Grid, placed } from "/page/shapes.js";

// Okabe and Ito, "Color Universal Design" (2008): seven hues that people with any kind of colour vision tell apart; the yellow is darker on white.
const HUES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];
const YELLOW = { light: "#B8A200", dark: "#F0E442" };
// Viridis (Smith and van der Walt, 2015), without the end that has no contrast with the background.
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const ENDS = { light: [0, 0.86], dark: [0.2, 1] };
const OTHER = 7, MISSING = 255;
const MARGIN = 28; // css pixels around the whole map

const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const variable = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();

export class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    Object.assign(this, { points: new Float32Array(), codes: new Uint8Array(), kind: "none", passing: null, results: new Uint32Array(), top: [], groups: [], lasso: [], path: null, marked: -1 });
    this.view = { x: 0, y: 0, scale: 0 };
  }

  set(changes) {
    Object.assign(this, changes);
    if (changes.points) {
      this.grid = new Grid(this.points);
      this.fit();
    }
    this.isResult = new Uint8Array(this.points.length / 2);
    for (const i of this.results) this.isResult[i] = 1;
    this.draw();
  }

  // ---- where things are ----
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width || (this.width === width && this.height === height && this.ratio === ratio)) return;
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (!this.moved) this.fit();
    this.draw();
  }

  fit() {
    this.moved = false;
    if (!this.grid || !this.width) return;
    const { left, right, bottom, top } = this.grid;
    const scale = Math.min((this.width - 2 * MARGIN) / (right - left || 1), (this.height - 2 * MARGIN) / (top - bottom || 1));
    this.view = { x: (left + right) / 2, y: (bottom + top) / 2, scale };
    this.whole = scale;
    this.draw();
  }

  pan(dx, dy) {
    this.moved = true;
    this.view.x -= dx / this.view.scale;
    this.view.y += dy / this.view.scale;
    this.draw();
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [dataX, dataY] = this.toData(x, y);
    this.moved = true;
    this.view.scale = Math.max(this.whole / 4, Math.min(this.whole * 400, this.view.scale * factor));
    this.view.x = dataX - (x - this.width / 2) / this.view.scale;
    this.view.y = dataY + (y - this.height / 2) / this.view.scale;
    this.draw();
  }

  toData(x, y) { return [this.view.x + (x - this.width / 2) / this.view.scale, this.view.y - (y - this.height / 2) / this.view.scale]; }
  toPlace(x, y) { return [(x - this.view.x) * this.view.scale + this.width / 2, (this.view.y - y) * this.view.scale + this.height / 2]; }
  toScreen(i) { return this.toPlace(this.points[2 * i], this.points[2 * i + 1]); }

  nearest(x, y, reach) {
    if (!this.grid || !this.view.scale) return -1;
    return this.grid.nearest(...this.toData(x, y), reach / this.view.scale, (i) => !this.passing || this.passing[i] === 1);
  }

  topAt(x, y, reach) {
    return this.top.find((one) => { const [placeX, placeY] = this.toPlace(one.x, one.y); return Math.hypot(placeX - x, placeY - y) <= reach; });
  }

  // ---- colours ----
  palette() {
    const theme = document.body.classList.contains("dark") ? "dark" : "light";
    const table = new Array(256).fill(rgb(theme === "dark" ? "#565d69" : "#c3c6cb"));
    if (this.kind === "values") {
      [...HUES, YELLOW[theme]].forEach((hue, code) => { table[code] = rgb(hue); });
      table[OTHER] = rgb(theme === "dark" ? "#8b93a1" : "#8a909b");
    } else if (this.kind === "numbers") {
      const [low, high] = ENDS[theme];
      for (let code = 0; code < MISSING; code++) table[code] = between((low + (code / 254) * (high - low)) * (VIRIDIS.length - 1));
    } else table[0] = rgb(variable("--vs-accent") || "#2a55b8");
    return table;
  }

  css(code) { return `rgb(${this.palette()[code].join(" ")})`; }

  // ---- drawing, once a frame ----
  draw() {
    this.image = null;
    this.redraw();
  }

  redraw() { // what lies over the points
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }

  sketch(path) { this.path = path; this.redraw(); }
  mark(i) { this.marked = i; this.redraw(); }

  paint() {
    if (!this.width || !this.view.scale) return;
    const { context, ratio } = this;
    this.image ||= this.paintPoints();
    context.putImageData(this.image, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paintLasso();
    this.paintTop();
    this.paintLabels();
    if (this.marked >= 0) this.ring(...this.toScreen(this.marked), this.radius() + 4, variable("--vs-text"), 2);
  }

  radius() {
    const grown = Math.min(3, (this.view.scale / this.whole) ** 0.3);
    return Math.max(1.15, Math.min(4, 90 / Math.sqrt(this.points.length / 2 + 1))) * grown;
  }

  paintPoints() {
    const { canvas, context, points, codes, passing, isResult, ratio } = this;
    const image = context.createImageData(canvas.width, canvas.height);
    const surface = rgb(variable("--vs-surface") || "#ffffff");
    new Uint32Array(image.data.buffer).fill(0xff000000 | (surface[2] << 16) | (surface[1] << 8) | surface[0]);
    const table = this.palette();
    const dot = stamp(this.radius() * ratio);
    const count = points.length / 2;
    const crowded = count > 20000 ? 0.6 : 0.8;
    const some = this.results.length > 0;
    const faint = rgb(document.body.classList.contains("dark") ? "#3a404b" : "#dcdee1");
    // What does not pass lies below, then what does, then the results.
    for (const layer of passing || some ? [0, 1, 2] : [1]) {
      for (let i = 0; i < count; i++) {
        const own = passing && !passing[i] ? 0 : some && isResult[i] ? 2 : 1;
        if (own !== layer) continue;
        const x = ((points[2 * i] - this.view.x) * this.view.scale + this.width / 2) * ratio;
        const y = ((this.view.y - points[2 * i + 1]) * this.view.scale + this.height / 2) * ratio;
        const strength = layer === 0 ? 0.7 : layer === 1 && some ? 0.3 : layer === 2 ? 1 : crowded;
        blend(image, x | 0, y | 0, dot, layer === 0 ? faint : table[codes[i]], strength);
      }
    }
    return image;
  }

  paintLasso() {
    const { context } = this;
    const corners = this.path || this.lasso;
    if (corners.length < 2) return;
    context.beginPath();
    corners.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](...this.toPlace(x, y)));
    if (!this.path) context.closePath();
    context.globalAlpha = 0.08;
    context.fillStyle = variable("--vs-accent");
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = variable("--vs-accent");
    context.lineWidth = 2;
    context.setLineDash(this.path ? [] : [6, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  paintTop() {
    for (const { x, y } of this.top) {
      this.ring(...this.toPlace(x, y), this.radius() + 4, variable("--vs-surface"), 4);
      this.ring(...this.toPlace(x, y), this.radius() + 4, variable("--vs-text"), 2);
    }
  }

  ring(x, y, radius, style, width) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke();
  }

  paintLabels() {
    const { context } = this;
    context.font = `600 12px ${getComputedStyle(this.canvas).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    const names = this.groups.map((one) => one.name); // of groups with one name the largest, which comes first, is labelled
    const named = this.groups.filter(({ name }, place) => name && names.indexOf(name) === place).map(({ name, x, y }) => { const [placeX, placeY] = this.toPlace(x, y); return { text: name, x: placeX, y: placeY }; });
    for (const { text, x, y } of placed(named, (words) => context.measureText(words).width, this.width, this.height)) {
      context.strokeStyle = variable("--vs-surface");
      context.lineWidth = 4;
      context.globalAlpha = 0.9;
      context.strokeText(text, x, y);
      context.globalAlpha = 1;
      context.fillStyle = variable("--vs-text");
      context.fillText(text, x, y);
    }
  }
}

function between(place) {
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const [from, to] = [rgb(VIRIDIS[low]), rgb(VIRIDIS[low + 1])];
  return from.map((part, channel) => Math.round(part + (place - low) * (to[channel] - part)));
}

/** Return the pixels of a round dot: [dx, dy, cover] one after another, cover 0 to 1. */
function stamp(radius) {
  const found = [];
  const reach = Math.ceil(radius);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(dx, dy)));
      if (cover > 0.05) found.push(dx, dy, cover);
    }
  }
  return new Float32Array(found);
}

function blend({ data, width, height }, x, y, dot, [red, green, blue], strength) {
  if (x < -40 || y < -40 || x > width + 40 || y > height + 40) return;
  for (let at = 0; at < dot.length; at += 3) {
    const [px, py] = [x + dot[at], y + dot[at + 1]];
    if (px < 0 || py < 0 || px >= width || py >= height) continue;
    const place = 4 * (py * width + px);
    const cover = dot[at + 2] * strength;
    data[place] += (red - data[place]) * cover;
    data[place + 1] += (green - data[place + 1]) * cover;
    data[place + 2] += (blue - data[place + 2]) * cover;
  }
}

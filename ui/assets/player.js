// Clips in motion: a silent preview under the pointer, and the one player.
import { $, $$ } from "./dom.js";
import { paintCart } from "./cart.js";

const HOVER_MS = 140;

// ---- hover ----
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
export const drawPlayer = () => {
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
export const playing = () => $(".vs-player video");
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

export const controls = {
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

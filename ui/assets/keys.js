// Keys: / search, arrows move, space plays, s selects, comma and full stop step by frame, Escape closes.
import { $, $$ } from "./dom.js";
import { act, question } from "./actions.js";
import { toggleCart } from "./cart.js";
import { controls, playing } from "./player.js";

const ARROWS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: "up", ArrowDown: "down" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest("input:not([type=range]), textarea, select, [role=listbox], [contenteditable]");
  if (event.key === "Escape" && $("#vs-cart[open]")) return;
  if (event.key === "Escape") return typing ? event.target.blur() : question().get("clip") && act({ kind: "close" });
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
  else act({ kind: "open", id: card.dataset.clip });
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
  if (question().get("clip") && next !== card) act({ kind: "open", id: next.dataset.clip }, { replace: true });
}

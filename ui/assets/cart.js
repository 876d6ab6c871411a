// What a person brings and takes: the cart, kept in this browser by index, exports, and files to search with.
import { $, $$, tell } from "./dom.js";
import { act, page } from "./actions.js";

const MAX_UPLOAD = 64e6;
const MAX_CART = 100000;

// ---- the cart ----
let cart = new Set();
const cartKey = () => `vidsearch-cart-${document.body.dataset.index || ""}`;
export function loadCart() {
  try { cart = new Set(JSON.parse(localStorage.getItem(cartKey()) || "[]")); } catch { cart = new Set(); }
  paintCart();
}
function saveCart() {
  localStorage.setItem(cartKey(), JSON.stringify([...cart]));
  paintCart();
}
addEventListener("storage", (event) => { if (event.key === cartKey()) loadCart(); });
export function toggleCart(clip) {
  if (cart.delete(clip)) return saveCart();
  if (cart.size >= MAX_CART) return tell(`The cart holds ${MAX_CART.toLocaleString("en")} clips, no more; export all that match instead.`);
  cart.add(clip);
  saveCart();
}
export function paintCart() {
  $$("[data-pick]").forEach((button) => {
    const chosen = cart.has(button.dataset.pick);
    button.setAttribute("aria-pressed", String(chosen));
    if (button.classList.contains("vs-pick-long")) button.textContent = chosen ? "Selected" : "Select";
    const card = button.closest(".vs-card");
    if (card) card.classList.toggle("is-picked", chosen);
  });
  $$("[data-cart-count]").forEach((place) => { place.textContent = cart.size.toLocaleString("en"); });
}
export function showCart() {
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

export const cartButtons = {
  cart: showCart,
  closeCart() { $("#vs-cart").close(); },
  emptyCart() { cart.clear(); saveCart(); showCart(); },
  exportCart() { exportClips({ ids: [...cart] }); },
  exportAll() { exportClips({ params: page.params }); },
};

// ---- a picture or a video is dropped in, pasted, or chosen ----
export async function upload(file) {
  if (file.size > MAX_UPLOAD) return tell(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; pictures and short videos of up to 64 MB can be searched with.`);
  tell(`Looking at ${file.name} …`);
  try {
    const { name } = await post("/upload", file, { "X-Name": encodeURIComponent(file.name), "Content-Type": "application/octet-stream" });
    tell("");
    act({ kind: "upload", name });
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

// What every part of the page uses. What comes from a data set is set as text.
export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Say something in the line below the header; "" takes it away. */
export function tell(text) {
  const place = $("#vs-told");
  if (!place) return;
  place.hidden = !text;
  $("span", place).textContent = text;
}

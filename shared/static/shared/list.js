// Rows of a list that are chosen, to do something with all of them: how many, their sum, and all of a page at once.
"use strict";

{
  const numbers = new Intl.NumberFormat(document.documentElement.lang === "fa" ? "fa-IR" : "en");

  const boxesOf = (form) => [...form.querySelectorAll("input[name=ids]")];

  function tell(form) {
    const boxes = boxesOf(form), chosen = boxes.filter((box) => box.checked), all = form.querySelector("[data-selects-all]");
    all.hidden = boxes.length === 0;
    all.checked = boxes.length > 0 && chosen.length === boxes.length;
    all.indeterminate = chosen.length > 0 && !all.checked;
    const bar = form.querySelector(".selection-bar"), line = bar.querySelector("[data-selected]");
    bar.hidden = chosen.length === 0;
    // BigInt: two hundred of the largest amounts are more than a number of 53 bits holds to the last Toman.
    const sum = chosen.reduce((total, box) => total + BigInt(box.dataset.amount), 0n);
    line.textContent = line.dataset.selected.replace("{count}", numbers.format(chosen.length)).replace("{sum}", numbers.format(sum));
  }
  const tellAll = () => document.querySelectorAll("form[data-selection]").forEach(tell);

  let last = null;
  document.addEventListener("click", (event) => {
    const box = event.target.closest("form[data-selection] input[name=ids]");
    if (!box) return;
    const boxes = boxesOf(box.form);
    if (event.shiftKey && last && boxes.includes(last)) { // all between the last one and this one
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      boxes.slice(from, to + 1).forEach((one) => { one.checked = box.checked; });
    }
    last = box;
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-selection]");
    if (!form) return;
    if (event.target.matches("[data-selects-all]")) boxesOf(form).forEach((box) => { box.checked = event.target.checked; });
    tell(form);
  });
  document.addEventListener("DOMContentLoaded", tellAll);
  window.addEventListener("pageshow", tellAll); // Back brings the boxes as they were
  document.addEventListener("htmx:afterSettle", tellAll);

  // What was decided in a dialog is answered beside it. Who goes on with the keyboard is at the next row that can be
  // decided, if the dialog was opened from a row; else at what became of all.
  let opener = null, isAnswered = false;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target && event.detail.target.id === "decide") opener = event.detail.elt;
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const dialog = event.detail.requestConfig.elt.closest("dialog[open]");
    if (dialog && event.detail.shouldSwap && !dialog.contains(event.detail.target)) { dialog.close(); isAnswered = true; }
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (!isAnswered || event.detail.target.id !== "decided") return; // it comes for each row that was put in place
    isAnswered = false;
    const row = opener && opener.closest("tr");
    let next = row && document.getElementById(row.id);
    while (next && !next.querySelector("a[hx-get]")) next = next.nextElementSibling;
    (next ? next.querySelector("a[hx-get]") : event.detail.target).focus({ preventScroll: !next });
    opener = null;
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-dismisses]")) event.target.closest(".decided").replaceChildren();
  });
}

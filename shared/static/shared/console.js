// What the pages do in the browser beside htmx. Everything works without it, too, only less comfortably.
"use strict";

// A form with data-once is sent once: its buttons stay off until the answer is there. The server takes a second one for
// a repetition anyway; this spares people the doubt.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  // After the browser has gathered the form's fields: a button that is off is not sent.
  setTimeout(() => setButtons(form, true), 0);
});
// Back from the browser's memory, a form may be sent again.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; setButtons(form, false); });
});
function setButtons(form, off) {
  form.querySelectorAll("button, input[type=submit]").forEach((button) => { button.disabled = off; });
  form.setAttribute("aria-busy", String(off));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-opens], [data-closes], [data-fills], [data-copies], [data-prints]");
  if (!button) return;
  if (button.dataset.opens) document.querySelector(button.dataset.opens).showModal();
  if (button.hasAttribute("data-closes")) button.closest("dialog").close();
  if (button.dataset.fills) {
    const field = document.querySelector(button.dataset.fills);
    field.value = button.value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  }
  if (button.dataset.copies) copyFor(button);
  if (button.hasAttribute("data-prints")) window.print();
});

async function copyFor(button) {
  const source = document.querySelector(button.dataset.copies);
  if (navigator.clipboard) await navigator.clipboard.writeText(source.textContent.trim());
  else { // over plain http there is none; what is selected can still be copied
    getSelection().selectAllChildren(source);
    if (!document.execCommand("copy")) return;
  }
  button.textContent = button.dataset.copied;
  announce(button.dataset.copied);
}

function announce(text) { document.getElementById("announcer").textContent = text; }
// A part of a page that has changed may have something to say to who does not see it.
document.addEventListener("htmx:afterSwap", (event) => {
  // By its id: a target that was replaced as a whole is gone, and what is there now has its id.
  const id = CSS.escape(event.detail.target.id);
  const saying = id && document.querySelector(`#${id} [data-announce], #${id}[data-announce]`);
  if (saying) announce(saying.dataset.announce);
});

function alertWith(text) {
  const place = document.getElementById("alerts");
  const box = document.createElement("div");
  box.className = "alert alert-danger";
  box.textContent = text;
  place.replaceChildren(box);
}
function isPolling(event) { return event.detail.elt && event.detail.elt.id === "balance-now"; }
["htmx:sendError", "htmx:timeout"].forEach((name) => document.addEventListener(name, (event) => {
  if (!isPolling(event)) alertWith(document.body.dataset.connectionLost);
}));
document.addEventListener("htmx:responseError", (event) => {
  if (!isPolling(event)) alertWith(document.body.dataset.serverFailed);
});
// A form that htmx sent and that was refused comes back with its errors: show them.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 422) { event.detail.shouldSwap = true; event.detail.isError = false; }
  document.getElementById("alerts").replaceChildren();
});

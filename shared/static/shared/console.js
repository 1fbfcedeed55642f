// What the pages do in the browser beside htmx. Everything works without it, too, only less comfortably.
"use strict";

// A form with data-once is sent once: its buttons stay off until the answer is there. The server takes a second one for
// a repetition anyway; this spares people the doubt.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
  // Back comes to the form with what was in it, its key included: what it has sold it then does not sell again.
  if (form.dataset.keeps) history.replaceState(null, "", `${form.dataset.keeps}?${new URLSearchParams(new FormData(form))}`);
  // After the browser has gathered the form's fields: a button that is off is not sent.
  setTimeout(() => setButtons(form, true), 0);
});
function letSendAgain() {
  document.querySelectorAll("form[data-sent]").forEach((form) => { delete form.dataset.sent; setButtons(form, false); });
}
// Back from the browser's memory, a form may be sent again.
window.addEventListener("pageshow", (event) => { if (event.persisted) letSendAgain(); });
// So it may when there was no connection: the page stays (worker.js), with what was written into the form, and its key.
// All of this host's pages are told of it; the one that has sent something says it.
let isSending = false;
document.addEventListener("submit", (event) => { if (!event.defaultPrevented) isSending = true; });
if (navigator.serviceWorker) navigator.serviceWorker.addEventListener("message", (event) => {
  if (event.data !== "form-is-lost" || !isSending) return;
  isSending = false;
  letSendAgain();
  alertWith(document.body.dataset.connectionLost);
});
// The same for a form that htmx sends; and when no answer came, or one that is no new page, it may be sent again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches("form[data-once]")) setButtons(event.target, true);
});
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target, xhr = event.detail.xhr;
  if (!form.matches || !form.matches("form[data-once]") || (xhr && xhr.getResponseHeader("HX-Redirect"))) return;
  setButtons(form, false);
  const button = form.querySelector("button");
  if (button) button.focus();
});
function setButtons(form, off) {
  form.querySelectorAll("button, input[type=submit]").forEach((button) => { button.disabled = off; });
  form.setAttribute("aria-busy", String(off));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-closes], [data-fills], [data-copies], [data-prints]");
  if (!button) return;
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

// Each on a line of its own: two that come together are both read.
function announce(text) {
  const line = document.createElement("div");
  line.textContent = text;
  document.getElementById("announcer").append(line);
  setTimeout(() => line.remove(), 5000);
}
// A part of a page that was swapped may have something to say to who does not see it: data-announce, on itself or in it.
// It is said when it is new, and not at each of many looks at the same.
const saidLast = new Map();
function sayingOf(id) {
  const part = id && document.getElementById(id);
  const saying = part && (part.matches("[data-announce]") ? part : part.querySelector("[data-announce]"));
  return saying ? saying.dataset.announce.trim() : "";
}
document.addEventListener("htmx:beforeSwap", (event) => {
  const id = event.detail.target.id;
  if (id) saidLast.set(id, sayingOf(id));
});
document.addEventListener("htmx:afterSwap", (event) => {
  const id = event.detail.target.id, saying = sayingOf(id);
  if (saying && saying !== saidLast.get(id)) announce(saying);
  saidLast.set(id, saying);
});

// What was fetched for a dialog is shown in it, unless another one was opened meanwhile: nothing takes the place of what
// is being read and confirmed.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.matches("dialog") && document.querySelector("dialog[open]")) event.detail.shouldSwap = false;
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.matches("dialog:not([open])")) openDialog(event.detail.target, event.detail.requestConfig.elt);
});
// The focus is on what has to be written, else on the button that changes nothing: Enter, pressed once too often, does no
// harm. It is put there once, for every dialog; `autofocus` htmx would follow a second time, after the first key.
function openDialog(dialog, opener) {
  opener.focus({ preventScroll: true }); // where the dialog gives the focus back to: not every browser has a click do that
  dialog.showModal();
  const start = dialog.querySelector("[required]") || dialog.querySelector("[data-closes]");
  if (start) start.focus();
}

// What is dangerous is asked in a dialog, with what the link's own page says (shared/console/danger.py).
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-asks]");
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  link.setAttribute("hx-sync", "#danger:replace"); // of two that were clicked, the last is asked
  htmx.ajax("GET", link.href, { source: link, target: "#danger" });
});

// A link that fetches something, until it is there (console.css has how it looks).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.matches("a")) event.detail.elt.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.elt.matches("a")) event.detail.elt.removeAttribute("aria-busy");
});

function alertWith(text) {
  const place = document.getElementById("alerts");
  const box = document.createElement("div");
  box.className = "alert alert-danger";
  box.textContent = text;
  place.replaceChildren(box);
}
// What asks by itself (data-polls) asks again soon, so nobody need be told at once that it got no answer; but that what
// stands there is no longer up to date must be said, and unsaid.
function isPolling(event) { return event.detail.elt && event.detail.elt.closest("[data-polls]") !== null; }
// In a tab that nobody sees nothing asks by itself, and nothing costs anything.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && isPolling(event) && !event.detail.requestConfig.triggeringEvent) event.preventDefault();
});
let unanswered = 0;
function noAnswer(event, text) {
  if (!isPolling(event)) alertWith(text);
  else if (++unanswered === 3) alertWith(document.body.dataset.outOfDate);
}
["htmx:sendError", "htmx:timeout"].forEach((name) => document.addEventListener(name, (event) => {
  noAnswer(event, document.body.dataset.connectionLost);
}));
// The server answers what asks by itself, and has nobody signed in, with 401 instead of leading away from the page.
// So it does a form with data-stays, on whose page is what nobody wants to lose.
function isStaying(event) { return event.detail.elt && event.detail.elt.closest("[data-stays]") !== null; }
document.addEventListener("htmx:configRequest", (event) => {
  if (!isPolling(event) && !isStaying(event)) return;
  event.detail.headers["Polls"] = "yes";
  // The token of now: after signing in again in another window, the page's own is that of the session before.
  const token = document.cookie.match(/(?:^|; )(?:__Host-)?csrftoken=([^;]+)/);
  if (token && event.detail.verb === "post") {
    delete event.detail.parameters.csrfmiddlewaretoken;
    event.detail.headers["X-CSRFToken"] = token[1];
  }
});
document.addEventListener("htmx:responseError", (event) => {
  // Signed out, suspended, or not one's own any more. What stands there stays: it may be the results of a hundred sales.
  // It goes on by itself when somebody has signed in again, in another window.
  if (isPolling(event) && [401, 403, 404].includes(event.detail.xhr.status)) {
    if (unanswered < 3) alertWith(reasonOf(event.detail.xhr) || document.body.dataset.noAccess);
    unanswered = 3;
  } else if (isStaying(event) && event.detail.xhr.status === 401) alertWith(document.body.dataset.noAccess);
  else noAnswer(event, reasonOf(event.detail.xhr) || document.body.dataset.serverFailed);
});
// What the page of an error says (shared/problem.html).
function reasonOf(xhr) {
  const said = new DOMParser().parseFromString(xhr.responseText, "text/html").getElementById("problem");
  return said && said.textContent;
}
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (!isPolling(event) || event.detail.xhr.status >= 400) return;
  if (unanswered >= 3) document.getElementById("alerts").replaceChildren();
  unanswered = 0;
});

// The page in another language knows of a batch's rows why they were not sold, as this page does.
document.addEventListener("formdata", (event) => {
  if (!event.formData.has("sent_again")) return;
  const sent = new URLSearchParams(event.formData.get("sent_again"));
  sent.delete("refused");
  document.querySelectorAll("input[name=refused][form]").forEach((input) => sent.append("refused", input.value));
  event.formData.set("sent_again", sent.toString());
});

// Who works with the keyboard or a screen reader goes on where something is to be done: at the first field that is
// wrong, or at the part that was put in place of the one that they were in.
document.addEventListener("DOMContentLoaded", () => {
  const wrong = document.querySelector("main [aria-invalid=true]");
  if (wrong) wrong.focus();
});
let wasInside = false;
document.addEventListener("htmx:beforeSwap", (event) => {
  const focused = document.activeElement, target = event.detail.target;
  // A button that was switched off while it waited has lost its focus.
  wasInside = focused && focused !== document.body
    ? target.contains(focused)
    : !isPolling({ detail: { elt: event.detail.requestConfig.elt } }) && target.contains(event.detail.requestConfig.elt);
});
document.addEventListener("htmx:afterSwap", (event) => {
  const focused = document.activeElement, part = document.getElementById(event.detail.target.id);
  if (!wasInside || !part || (focused && focused !== document.body)) return;
  const goal = part.querySelector("[aria-invalid=true], [autofocus]") || part;
  if (goal === part && !part.hasAttribute("tabindex")) part.tabIndex = -1;
  goal.focus();
});
// A form that htmx sent and that was refused comes back with its errors: show them.
document.addEventListener("htmx:beforeSwap", (event) => {
  // So does one that outlived its session; what asks by itself has nothing to send again.
  const outlived = event.detail.xhr.status === 403 && event.detail.xhr.getResponseHeader("HX-Reselect")
    && !isPolling({ detail: { elt: event.detail.requestConfig.elt } });
  if (event.detail.xhr.status === 422 || outlived) { event.detail.shouldSwap = true; event.detail.isError = false; }
  if (!isPolling({ detail: { elt: event.detail.requestConfig.elt } })) document.getElementById("alerts").replaceChildren();
});

// A file that is too large is refused where it is chosen: sent, it would be read by nobody, and the form be gone.
document.addEventListener("change", (event) => {
  const field = event.target;
  if (!field.matches("input[type=file][data-most-bytes]")) return;
  const isTooLarge = [...field.files].some((file) => file.size > Number(field.dataset.mostBytes));
  field.setCustomValidity(isTooLarge ? field.dataset.tooLarge : "");
  field.reportValidity();
});

// What is typed into a form with data-keeps-typed="name" stays in this tab until the form is reset, or was sent and taken:
// one that was refused is there again, on the page that answers. It outlives a lost connection and a new sign-in, and is
// for nobody else who signs in. The form's key stays with it: what was sent and never answered is not done twice.
function typedKey(name) {
  const account = document.querySelector(".account-name");
  return `typed:${account ? account.textContent : ""}:${name}`;
}
function keptFields(form) {
  return [...form.elements].filter((field) => field.name && field.matches("input:not([type=hidden], [type=password], [type=file]), [name=key], select, textarea"));
}
// The server's own word comes first: what it has filled in, or chosen of a list.
function isForTyped(field) {
  if (field.matches("[type=radio], [type=checkbox], [name=key]")) return false;
  return field.matches("select") ? !field.querySelector("option[selected]:not([value=''])") : !field.value;
}
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form || !form.dataset.keepsTyped) return;
  const typed = keptFields(form).filter((field) => !field.matches("[type=radio], [type=checkbox]") || field.checked);
  try {
    sessionStorage.setItem(typedKey(form.dataset.keepsTyped), JSON.stringify(typed.map((field) => [field.name, field.value])));
  } catch { /* where nothing may be stored, or no more, it is not kept */ }
});
document.addEventListener("DOMContentLoaded", () => {
  const forms = [...document.querySelectorAll("form[data-keeps-typed]")];
  // A page that is nobody's (to sign in, without a connection, of what went wrong) answers no form.
  const sent = sessionStorage.getItem("sent");
  if (sent && document.querySelector(".account-name")) {
    if (!forms.some((form) => typedKey(form.dataset.keepsTyped) === sent)) sessionStorage.removeItem(sent);
    sessionStorage.removeItem("sent");
  }
  forms.forEach((form) => {
    const typed = JSON.parse(sessionStorage.getItem(typedKey(form.dataset.keepsTyped)) || "[]");
    const again = typed.map(([name, value]) => [keptFields(form).find((one) => one.name === name), value]);
    const untouched = again.filter(([field, value]) => field && value && isForTyped(field));
    if (untouched.length === 0) return;
    for (const [field, value] of again) if (field && field.name === "key") field.value = value;
    for (const [field, value] of untouched) {
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      if (field.matches("input[autofocus]")) field.select(); // who writes another begins anew
    }
  });
});
document.addEventListener("submit", (event) => {
  const name = event.target.dataset.keepsTyped;
  if (!name || event.defaultPrevented) return;
  try { sessionStorage.setItem("sent", typedKey(name)); } catch { /* then nothing is kept, either */ }
});
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.requestConfig.elt; // the event's own target is another one where the form was replaced
  if (event.detail.successful && form.matches("form[data-keeps-typed]")) sessionStorage.removeItem(typedKey(form.dataset.keepsTyped));
});
document.addEventListener("reset", (event) => { if (event.target.dataset.keepsTyped) sessionStorage.removeItem(typedKey(event.target.dataset.keepsTyped)); });
// Nothing of it is for the next at this machine.
document.addEventListener("submit", (event) => { if ((event.target.getAttribute("action") || "").endsWith("/sign-out")) sessionStorage.clear(); });

// The service worker keeps static files and a page that says that there is no connection (shared/console/installable.py).
window.addEventListener("load", () => {
  if (navigator.serviceWorker) navigator.serviceWorker.register("/worker.js").catch(() => {}); // without it all works, too
});

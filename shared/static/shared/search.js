// The box to search with: "/" goes to it, arrows go through what was found under it, Enter opens it, Escape leaves.
"use strict";

{
  let before = null; // where the keyboard was when "/" was pressed

  const listOf = (field) => document.getElementById(field.dataset.find);
  const linesOf = (field) => [...listOf(field).querySelectorAll("[role=option]")];
  const fieldOf = (event) => event.target.closest && event.target.closest("[data-find]");

  function choose(field, line) {
    linesOf(field).forEach((one) => one.setAttribute("aria-selected", String(one === line)));
    if (!line) { field.removeAttribute("aria-activedescendant"); return; }
    field.setAttribute("aria-activedescendant", line.id);
    line.scrollIntoView({ block: "nearest" });
  }
  function open(field) {
    const list = listOf(field), box = list.querySelector("[role=listbox]");
    list.hidden = list.textContent.trim() === "" || field.value.trim() === "";
    linesOf(field).forEach((line, place) => { line.id = `${list.id}-${place}`; });
    if (box) box.id = `${list.id}-list`;
    field.setAttribute("aria-expanded", String(Boolean(box) && !list.hidden));
    if (box) field.setAttribute("aria-controls", box.id); else field.removeAttribute("aria-controls");
    choose(field, null);
  }
  function close(field) {
    listOf(field).hidden = true;
    field.setAttribute("aria-expanded", "false");
    choose(field, null);
  }
  function leave(field) {
    const back = before && before.isConnected && before !== document.body ? before : document.getElementById("main");
    before = null;
    field.blur();
    back.focus();
  }

  document.querySelectorAll("[data-find]").forEach((field) => {
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-expanded", "false");
    field.setAttribute("aria-keyshortcuts", "/");
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = document.activeElement;
    // Where one types it is a character, but not in a telephone number.
    const types = "input:not([type=checkbox], [type=radio], [inputmode=tel]), textarea, select";
    if (at && (at.isContentEditable || at.matches(types))) return;
    const field = [...document.querySelectorAll("[data-find]")].find((one) => one.offsetParent !== null);
    if (!field || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    before = at;
    field.focus();
    field.select();
  });
  document.addEventListener("keydown", (event) => {
    const field = fieldOf(event);
    if (!field || event.isComposing) return;
    const lines = linesOf(field), isOpen = !listOf(field).hidden;
    const chosen = lines.findIndex((line) => line.getAttribute("aria-selected") === "true");
    if (event.key === "Escape") {
      event.preventDefault();
      if (isOpen) close(field); else leave(field);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!lines.length) return;
      event.preventDefault();
      if (!isOpen) open(field);
      const from = chosen < 0 && event.key === "ArrowUp" ? 0 : chosen;
      choose(field, lines[(from + (event.key === "ArrowDown" ? 1 : -1) + lines.length) % lines.length]);
    } else if (event.key === "Enter" && isOpen && chosen >= 0) {
      event.preventDefault();
      lines[chosen].click();
    }
  });
  // What was found for fewer characters goes when there are none; htmx asks for the others.
  document.addEventListener("input", (event) => {
    const field = fieldOf(event);
    if (field && field.value.trim() === "") close(field);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const field = document.querySelector(`[data-find="${event.detail.target.id}"]`);
    if (field && document.activeElement === field) open(field);
  });
  document.addEventListener("focusout", (event) => {
    const field = fieldOf(event);
    if (field && !(event.relatedTarget && listOf(field).contains(event.relatedTarget))) close(field);
  });
  document.addEventListener("focusin", (event) => {
    const field = fieldOf(event);
    if (field && linesOf(field).length && field.value.trim() !== "") open(field);
  });
}

// A list's filters and page are kept in its address. Here they are kept for this tab, so that the link back to the list
// leads to it as it was, also after a form was sent in between. Whoever signs in begins without.
try {
  const nameOf = (path) => `list ${path}`;
  if (!document.querySelector(".topbar")) {
    Object.keys(sessionStorage).filter((key) => key.startsWith("list ")).forEach((key) => sessionStorage.removeItem(key));
  }
  if (document.querySelector("form.filters")) sessionStorage.setItem(nameOf(location.pathname), location.search);
  document.querySelectorAll("a[data-back]").forEach((link) => {
    if (!link.search) link.search = sessionStorage.getItem(nameOf(link.pathname)) || "";
  });
} catch { /* where nothing may be stored, the links are what the server wrote */ }

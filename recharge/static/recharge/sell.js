// One screen to sell, by keys: the number, Enter, the key of an amount, Enter. Form, look and the next form take each
// other's place in #sale (htmx fetches them); the outcome stands below. Without this script each is a page of its own.
"use strict";
(() => {
  const part = (id) => document.getElementById(id);
  const inSale = (element) => element instanceof Element && element.closest("#sale") !== null;
  const number = () => part("id_phone_number");
  const chips = () => [...document.querySelectorAll("#amounts button")];

  // --- Once ----------------------------------------------------------------------------------------------------------
  // A key that is held down does what it does once, and so does a double click: what the second would meet is not what
  // the first one saw. (A sale that is sent again is not sold again anyway, but a look must not be passed over.)
  document.addEventListener("keydown", (event) => {
    if (event.repeat && event.key === "Enter" && inSale(event.target)) { event.preventDefault(); event.stopPropagation(); }
  }, true);
  document.addEventListener("click", (event) => {
    if (event.detail > 1 && inSale(event.target)) { event.preventDefault(); event.stopPropagation(); }
  }, true);

  // --- What is known of the number ------------------------------------------------------------------------------------
  // The amounts are those of the number's operator, and are fetched while it is typed. Who is faster than that waits for
  // them with the key already pressed, and does not get the amounts of another operator.
  const typed = () => number() ? `${number().value} ${part("id_operator").value}` : "";
  let known = typed(), asked = known;
  let waiting = null; // to go to the amounts once they are known: with the key of one, an amount that was clicked, or neither
  let wasAtAmounts = false;
  const isKnown = () => typed() === known;
  function waitFor(choice) {
    waiting = choice;
    window.htmx.trigger("#number-hint", "now");
  }
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id === "number-hint") asked = typed();
  });
  const hintCame = () => {
    if (!number()) return;
    known = asked;
    mark();
    if (document.querySelector("#number-hint [data-needs-operator]")) part("operator-fold").open = true;
    if (waiting && !isKnown()) return; // the one that was asked for now comes next
    const focused = document.activeElement, { key, amount } = waiting || {}, isGoing = waiting !== null;
    waiting = null;
    if (focused !== document.body && !(isGoing && focused.closest("#amounts"))) return; // who has gone elsewhere stays there
    if (!isGoing && !wasAtAmounts) return;
    toAmounts(); // also when fewer came, and the one that had the focus is gone
    if (!chips().includes(document.activeElement)) return;
    const chip = key ? chips()[key - 1] : chips().find((one) => one.value === amount);
    if (chip) choose(chip);
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.id === "number-hint") wasAtAmounts = document.activeElement.closest("#amounts") !== null;
  });
  document.addEventListener("htmx:afterSwap", (event) => { if (event.detail.target.id === "number-hint") hintCame(); });
  ["htmx:sendError", "htmx:timeout", "htmx:responseError"].forEach((name) => document.addEventListener(name, (event) => {
    if (event.detail.elt.id === "number-hint") hintCame();
  }));

  // --- Amounts ---------------------------------------------------------------------------------------------------------
  // From the number on: to the operator where nobody knows it, back to the number where it is none, else to the amounts.
  function toAmounts() {
    if (!isKnown()) waitFor({});
    const operator = part("id_operator");
    if (isKnown() && document.querySelector("#number-hint .hint-wrong")) number().focus();
    else if (isKnown() && document.querySelector("#number-hint [data-needs-operator]") && !operator.value) {
      part("operator-fold").open = true;
      operator.focus();
    } else (chips()[0] || part("id_amount")).focus();
  }
  // Until the look at what was chosen is there, nothing else is chosen: Enter, pressed a moment too early, would choose
  // the amount that has the focus.
  const isLookedAt = () => part("sale").hasAttribute("aria-busy");
  function pick(key) {
    const chip = chips()[key - 1];
    if (!chip || isLookedAt()) return;
    chip.focus();
    if (waiting) waiting = { key };
    else if (number().value.trim() && !isKnown()) waitFor({ key });
    else choose(chip);
  }
  function choose(chip) {
    part("id_amount").value = chip.value;
    mark();
    chip.focus();
    if (number().value.trim()) part("id_amount").form.requestSubmit();
    else number().focus();
  }
  function mark() {
    const amount = part("id_amount");
    chips().forEach((chip) => chip.setAttribute("aria-pressed", String(amount.value === chip.value)));
  }
  document.addEventListener("input", (event) => { if (event.target.id === "id_amount") mark(); });
  document.addEventListener("click", (event) => {
    const chip = event.target.closest("#amounts button");
    if (!chip || isLookedAt()) return;
    if (isKnown() || !number().value.trim()) choose(chip);
    else if (!waiting || event.detail) waitFor({ amount: chip.value }); // Enter after a key changes nothing
  });

  // --- Keys ------------------------------------------------------------------------------------------------------------
  // Western, Persian and Arabic digits.
  function digitOf(key) {
    const code = key.length === 1 ? key.charCodeAt(0) : 0;
    const zero = [0x30, 0x6f0, 0x660].find((first) => code >= first && code < first + 10);
    return zero === undefined ? -1 : code - zero;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !inSale(event.target)) return;
    const at = event.target, digit = at.closest("#amounts") ? digitOf(event.key) : -1;
    if (digit >= 0) {
      event.preventDefault();
      if (digit) pick(digit);
      else { waiting = null; part("id_amount").focus(); }
    } else if (event.key === "Enter" && at.id === "id_phone_number" && at.value.trim() && !part("id_amount").value) {
      event.preventDefault();
      toAmounts();
    } else if (event.key === "Enter" && at.id === "id_operator" && at.value) {
      event.preventDefault();
      if (part("id_amount").value) at.form.requestSubmit(); else toAmounts();
    } else if (event.key === "Escape" && document.querySelector(".sale-change")) document.querySelector(".sale-change").click();
  });

  // --- Form, look, and the next form -------------------------------------------------------------------------------------
  // The page's address keeps what was typed, and the key: who reloads, comes back, or signs in again has both, and what
  // was sold meanwhile is not sold again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches(".sale-form")) history.replaceState(null, "", `${form.dataset.keeps}?${new URLSearchParams(new FormData(form))}`);
  }, true);
  // Who is quick types the next number while this one is being sold: its field is not there yet, and gets it with the form.
  let ahead = "", isSelling = false;
  document.addEventListener("keydown", (event) => {
    if (!isSelling || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Backspace") ahead = ahead.slice(0, -1);
    else if (digitOf(event.key) >= 0) ahead += event.key;
    else return;
    event.preventDefault();
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (takesItsPlace(event)) [ahead, isSelling] = ["", event.detail.requestConfig.verb === "post"];
  });
  document.addEventListener("htmx:afterRequest", (event) => { if (takesItsPlace(event)) isSelling = false; });
  function writeAhead() {
    if (!ahead) return;
    number().value = ahead;
    number().dispatchEvent(new Event("input", { bubbles: true }));
  }
  const takesItsPlace = (event) => event.detail.target && event.detail.target.id === "sale";
  document.addEventListener("htmx:beforeRequest", (event) => { if (takesItsPlace(event)) part("sale").setAttribute("aria-busy", "true"); });
  document.addEventListener("htmx:afterRequest", (event) => { if (takesItsPlace(event)) part("sale").removeAttribute("aria-busy"); });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // What is said of a number that stands there no longer comes too late.
    if (event.detail.target.id === "sale" && part("number-hint")) window.htmx.trigger("#number-hint", "htmx:abort");
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "sale") return;
    const sale = part("sale"), form = sale.querySelector(".sale-form");
    known = asked = typed();
    waiting = null;
    if (form) mark();
    if (form && "sold" in sale.dataset) {
      history.replaceState(null, "", form.dataset.keeps);
      writeAhead();
    }
    (sale.querySelector("[aria-invalid=true]") || sale.querySelector("[autofocus]") || sale).focus();
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    const sold = event.detail.target.id === "last-sale" && event.detail.target.querySelector("[data-announce]");
    if (sold) announce(sold.dataset.announce);
  });

  // Who signed in anew in another window has another token against forged forms, and nothing was sold with the old one.
  // The answer says so and has the token of now: who reads it, and as whom one is signed in, presses once more.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (xhr.status !== 403 || !inSale(requestConfig.elt)) return;
    const answer = new DOMParser().parseFromString(xhr.responseText, "text/html");
    const token = answer.querySelector("input[name=csrfmiddlewaretoken]"), said = answer.getElementById("nothing-done");
    if (!token || !said) return;
    event.detail.shouldSwap = false;
    document.querySelectorAll("input[name=csrfmiddlewaretoken]").forEach((input) => { input.value = token.value; });
    const box = document.createElement("p");
    box.className = "alert alert-warning";
    box.setAttribute("role", "alert");
    box.textContent = said.textContent;
    part("sale").querySelectorAll(".alert").forEach((alert) => alert.remove());
    part("sale").prepend(box);
  });

  // --- Phones ----------------------------------------------------------------------------------------------------------
  // With the keyboard on the screen there is room for the form alone.
  const seen = window.visualViewport;
  function makeRoom() {
    if (seen.height < 450 && inSale(document.activeElement)) part("sale").scrollIntoView({ block: "start", behavior: "instant" });
  }
  if (seen) {
    seen.addEventListener("resize", makeRoom);
    document.addEventListener("focusin", makeRoom);
    makeRoom();
  }
})();

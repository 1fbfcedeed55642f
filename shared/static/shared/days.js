// A calendar to choose a day from: Jalali in Persian, Gregorian in English. It counts by what the browser knows of
// calendars (Intl), a day after the other, so that no rule of a calendar stands here. Days are moments of UTC.
"use strict";

if (!document.querySelector("dialog.days")) {
  const words = document.currentScript.dataset;
  const isPersian = document.documentElement.lang === "fa", isFromRight = document.documentElement.dir === "rtl";
  const name = isPersian ? "fa-IR-u-ca-persian" : "en-GB-u-ca-gregory";
  const format = (as, options) => new Intl.DateTimeFormat(as, { timeZone: "UTC", ...options });
  const inParts = (calendar) => format(`en-u-ca-${calendar}-nu-latn`, { year: "numeric", month: "numeric", day: "numeric" });
  const jalali = inParts("persian"), gregorian = inParts("gregory");
  const titleOf = format(name, { year: "numeric", month: "long" });
  const spoken = format(name, { weekday: "long", year: "numeric", month: "long", day: "numeric" });
  const dayOnly = format(name, { day: "numeric" }), shortDay = format(name, { weekday: "narrow" }), longDay = format(name, { weekday: "long" });
  const firstWeekday = isPersian ? 6 : 1;

  const plus = (day, count) => new Date(day.getTime() + count * 86400000);
  const partsOf = (day, calendar = isPersian ? jalali : gregorian) =>
    Object.fromEntries(calendar.formatToParts(day).map((part) => [part.type, Number(part.value)]));
  const firstOf = (day) => plus(day, 1 - partsOf(day).day);
  const today = new Date(`${words.today}T00:00:00Z`);

  // The same day of another month, or its last.
  function inMonths(day, count) {
    let first = firstOf(day);
    for (; count > 0; count--) first = firstOf(plus(first, 31));
    for (; count < 0; count++) first = firstOf(plus(first, -1));
    const days = partsOf(plus(firstOf(plus(first, 31)), -1)).day;
    return plus(first, Math.min(partsOf(day).day, days) - 1);
  }
  function weekBegins(day) { return plus(day, -((day.getUTCDay() - firstWeekday + 7) % 7)); }

  const toLatin = (text) => text.replace(/[۰-۹٠-٩]/g, (digit) => String(digit.charCodeAt(0) & 15));
  function read(text) {
    const found = /^\s*([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})\s*$/.exec(toLatin(text));
    if (!found) return today;
    const [year, month, day] = found.slice(1).map(Number);
    if (year >= 1700) return new Date(Date.UTC(year, month - 1, day));
    let tried = new Date(Date.UTC(year + 621, 2, 18));
    for (let count = 0; count < 372; count++, tried = plus(tried, 1)) {
      const parts = partsOf(tried, jalali);
      if (parts.year === year && parts.month === month && parts.day === day) return tried;
    }
    return today;
  }
  function write(day) {
    if (!isPersian) return day.toISOString().slice(0, 10);
    const parts = partsOf(day), two = (number) => String(number).padStart(2, "0");
    return `${parts.year}/${two(parts.month)}/${two(parts.day)}`.replace(/[0-9]/g, (digit) => "۰۱۲۳۴۵۶۷۸۹"[digit]);
  }

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  }
  const button = (text, label, does) => {
    const made = make("button", { type: "button", class: "btn btn-outline-secondary btn-sm", ...(label && { "aria-label": label }) }, text);
    made.addEventListener("click", does);
    return made;
  };

  const title = make("h2", { id: "days-title", "aria-live": "polite" });
  const body = make("tbody"), head = make("tr");
  const grid = make("table", { role: "grid", "aria-labelledby": "days-title" }, make("thead", {}, head), body);
  const dialog = make("dialog", { class: "days", "aria-labelledby": "days-title" });
  dialog.append(
    make("div", { class: "days-head" },
      button(isFromRight ? "›" : "‹", words.previous, () => move(inMonths(at, -1))), title,
      button(isFromRight ? "‹" : "›", words.next, () => move(inMonths(at, 1)))),
    grid,
    make("div", { class: "dialog-actions" },
      button(words.now, "", () => choose(today)), button(words.close, "", () => dialog.close())));
  for (let place = 0, day = weekBegins(today); place < 7; place++, day = plus(day, 1)) {
    head.append(make("th", { scope: "col", abbr: longDay.format(day) }, shortDay.format(day)));
  }
  document.body.append(dialog);
  let field = null, at = today, chosen = null;

  function move(day, takesFocus = false) {
    at = day;
    const first = firstOf(day), month = partsOf(day).month, text = titleOf.format(day);
    if (title.textContent !== text) title.textContent = text;
    body.replaceChildren();
    for (let week = weekBegins(first); week < first || partsOf(week).month === month; week = plus(week, 7)) {
      const row = make("tr");
      for (let place = 0; place < 7; place++) {
        const one = plus(week, place), cell = make("td");
        if (partsOf(one).month === month) {
          const isAt = one.getTime() === at.getTime();
          const made = make("button", { type: "button", "aria-label": spoken.format(one), tabindex: isAt ? "0" : "-1" }, dayOnly.format(one));
          if (one.getTime() === today.getTime()) made.setAttribute("aria-current", "date");
          cell.setAttribute("aria-selected", String(chosen !== null && one.getTime() === chosen.getTime()));
          made.addEventListener("click", () => choose(one));
          cell.append(made);
        }
        row.append(cell);
      }
      body.append(row);
    }
    if (takesFocus) body.querySelector("[tabindex='0']").focus();
  }
  function choose(day) {
    field.value = write(day);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new Event("change", { bubbles: true }));
    dialog.close();
    field.focus();
  }
  grid.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onwards = isFromRight ? "ArrowLeft" : "ArrowRight", back = isFromRight ? "ArrowRight" : "ArrowLeft";
    const months = event.shiftKey ? 12 : 1;
    const goals = {
      [onwards]: () => plus(at, 1), [back]: () => plus(at, -1), ArrowDown: () => plus(at, 7), ArrowUp: () => plus(at, -7),
      Home: () => weekBegins(at), End: () => plus(weekBegins(at), 6),
      PageDown: () => inMonths(at, months), PageUp: () => inMonths(at, -months),
    };
    if (!goals[event.key]) return;
    event.preventDefault();
    move(goals[event.key](), true);
  });

  document.querySelectorAll("input[data-day]").forEach((input) => {
    const label = document.querySelector(`label[for="${input.id}"]`), hadFocus = document.activeElement === input;
    const opener = button("", `${words.choose}: ${label ? label.textContent.trim() : ""}`, () => {
      field = input;
      const isWritten = input.value.trim() !== "";
      chosen = isWritten ? read(input.value) : null;
      move(chosen || today);
      dialog.showModal();
      body.querySelector("[tabindex='0']").focus();
    });
    opener.classList.add("day-opener");
    opener.setAttribute("aria-haspopup", "dialog");
    const place = make("div", { class: "day-field" });
    input.replaceWith(place);
    place.append(input, opener);
    if (hadFocus) input.focus();
  });
}

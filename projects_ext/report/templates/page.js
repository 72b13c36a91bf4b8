"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // Light and dark: as the system says, until the reader chooses.
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  system.addEventListener("change", nameTheme);
  nameTheme();

  // Tables: numbers start with the largest, text with the first; no value comes last either way.
  const collator = new Intl.Collator(undefined, { numeric: true });
  const valueOf = (row, index, isNumber) => {
    const cell = row.cells[index];
    if (!isNumber) return cell.textContent.trim();
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  const sortBy = (table, header) => {
    const index = header.cellIndex;
    const isNumber = header.classList.contains("number");
    const before = header.getAttribute("aria-sort");
    const rising = before ? before === "descending" : !isNumber;
    const sign = rising ? 1 : -1;
    const rows = Array.from(table.tBodies[0].rows, (row) => [valueOf(row, index, isNumber), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (isNumber ? a - b : collator.compare(a, b));
    });
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };
  for (const table of all("table.sortable")) {
    for (const header of all("th", table.tHead)) {
      header.querySelector("button").addEventListener("click", () => sortBy(table, header));
    }
  }

  // Galleries: switches for the layers, a filter for the classes.
  const applySwitches = (gallery, root = gallery) => {
    for (const button of all("[data-switch]", gallery)) {
      const shown = button.getAttribute("aria-pressed") === "true";
      for (const part of all("[data-layer]", root)) {
        if (part.dataset.layer === button.dataset.switch) part.toggleAttribute("hidden", !shown);
      }
    }
  };
  const applyFilter = (gallery) => {
    const chosen = gallery.querySelector("[data-filter]")?.value ?? "";
    const cards = all(".card", gallery);
    const fits = (card) => chosen === "" || JSON.parse(card.dataset.tags).includes(chosen);
    const fitting = cards.filter(fits);
    const first = gallery.dataset.all ? fitting : fitting.slice(0, Number(gallery.dataset.first));
    for (const card of cards) card.hidden = !first.includes(card);
    const output = gallery.querySelector("[data-count]");
    const count = `${fitting.length} ${fitting.length === 1 ? "image" : "images"}`;
    output.textContent = first.length < fitting.length ? `${first.length} of ${count}` : count;
    const more = gallery.querySelector("[data-more]");
    more.hidden = first.length === fitting.length;
    more.textContent = `Show all ${fitting.length}`;
  };
  for (const gallery of all(".gallery")) {
    for (const button of all("[data-switch]", gallery)) {
      button.addEventListener("click", () => {
        const shown = button.getAttribute("aria-pressed") === "true";
        button.setAttribute("aria-pressed", String(!shown));
        applySwitches(gallery);
      });
    }
    if (!gallery.querySelector(".card")) continue;
    gallery.querySelector("[data-filter]")?.addEventListener("change", () => applyFilter(gallery));
    gallery.querySelector("[data-more]").addEventListener("click", () => {
      const next = gallery.querySelectorAll(".card:not([hidden])").length;
      gallery.dataset.all = "yes";
      applyFilter(gallery);
      all(".card:not([hidden])", gallery)[next]?.querySelector(".frame").focus();
    });
    applySwitches(gallery);
    applyFilter(gallery);
  }

  // A link or button with data-show="class" filters every gallery by it and goes to the first.
  document.addEventListener("click", (event) => {
    const source = event.target.closest("[data-show]");
    if (!source) return;
    let target = null;
    for (const gallery of all(".gallery")) {
      const filter = gallery.querySelector("[data-filter]");
      if (!filter) continue;
      filter.value = source.dataset.show;
      applyFilter(gallery);
      if (!target && all(".card:not([hidden])", gallery).length) target = gallery;
    }
    if (target) {
      event.preventDefault();
      target.scrollIntoView();
      target.querySelector("[data-filter]").focus({ preventScroll: true });
    }
  });

  // One image, large; arrow keys go through those that the filter leaves.
  const viewer = document.getElementById("viewer");
  let shown = null;
  const show = (card) => {
    shown = card;
    const frame = document.createElement("div");
    const original = card.querySelector(".frame");
    frame.className = "frame";
    frame.style.aspectRatio = original.style.aspectRatio;
    const image = original.querySelector("img");
    const ratio = image.getAttribute("width") / image.getAttribute("height");
    frame.style.width = `min(100%, calc(76vh * ${ratio}))`;
    frame.append(...Array.from(original.children, (child) => child.cloneNode(true)));
    document.getElementById("viewer-frame").replaceChildren(frame);
    document.getElementById("viewer-title").textContent = card.querySelector(".title").textContent;
    document.getElementById("viewer-note").textContent = card.querySelector(".note")?.textContent ?? "";
    if (!viewer.open) viewer.showModal();
  };
  const step = (by) => {
    const cards = all(".card:not([hidden])", shown.closest(".gallery"));
    show(cards[(cards.indexOf(shown) + by + cards.length) % cards.length]);
  };
  for (const card of all(".card")) {
    card.querySelector(".frame").addEventListener("click", () => show(card));
  }
  for (const button of all("[data-step]", viewer)) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  viewer.addEventListener("close", () => shown?.querySelector(".frame").focus());
})();

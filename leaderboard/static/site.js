"use strict";
// Theme, sorting and filtering. Every page reads the same without it.
(function () {
  const page = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function stored(value) {
    try {
      if (value !== undefined) localStorage.setItem("speech-eval-theme", value);
      return localStorage.getItem("speech-eval-theme");
    } catch {
      return null; // storage may be closed to files opened from a disk
    }
  }

  function isDark() {
    return page.dataset.theme ? page.dataset.theme === "dark" : dark.matches;
  }

  const chosen = stored();
  if (chosen === "dark" || chosen === "light") page.dataset.theme = chosen;

  function themeButton(button) {
    const show = () => {
      button.textContent = isDark() ? "Light" : "Dark";
      button.setAttribute("aria-label", "Switch to " + (isDark() ? "light" : "dark") + " colours");
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      page.dataset.theme = isDark() ? "light" : "dark";
      stored(page.dataset.theme);
      show();
    });
    dark.addEventListener("change", show);
    show();
  }

  // Subsets, and undefined numbers before them, stay last whichever way a column is sorted.
  function compare(kind, sign) {
    return (a, b) => {
      if (a.subset !== b.subset) return a.subset - b.subset;
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.index - b.index;
      const order = kind === "number" ? Number(a.key) - Number(b.key) : a.key.localeCompare(b.key);
      return sign * order || a.index - b.index;
    };
  }

  function sortTable(table, header) {
    const best = header.dataset.best || "ascending";
    const other = best === "ascending" ? "descending" : "ascending";
    const next = header.getAttribute("aria-sort") === best ? other : best;
    for (const cell of header.parentNode.cells) cell.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", next);
    const body = table.tBodies[0];
    const rows = Array.from(body.rows, (row, index) => ({
      row, index, key: row.cells[header.cellIndex].dataset.sort || "", subset: "subset" in row.dataset,
    }));
    rows.sort(compare(header.dataset.kind, next === "ascending" ? 1 : -1));
    body.append(...rows.map((item) => item.row));
  }

  function sortable(table) {
    for (const header of table.tHead.rows[0].cells) {
      const label = header.querySelector("[data-sort-label]");
      if (!label) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...label.childNodes);
      label.replaceWith(button);
      button.addEventListener("click", () => sortTable(table, header));
    }
  }

  function filterBox(form) {
    const input = form.querySelector("input");
    const count = form.querySelector("[data-filter-count]");
    const boards = Array.from(document.querySelectorAll("section.board"), (board) => ({
      none: board.querySelector("[data-none-match]"),
      rows: Array.from(board.querySelectorAll("tbody tr"), (row) => ({
        row, text: row.querySelector("th").textContent.toLowerCase(),
      })),
    }));
    function apply() {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0, all = 0;
      for (const board of boards) {
        let here = 0;
        for (const item of board.rows) {
          const match = words.every((word) => item.text.includes(word));
          item.row.hidden = !match;
          here += match;
        }
        board.none.hidden = here > 0;
        shown += here;
        all += board.rows.length;
      }
      count.textContent = words.length ? shown + " of " + all + " rows" : "";
    }
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    input.addEventListener("input", apply);
    apply();
  }

  // One player at a time.
  function solo(event) {
    for (const player of document.querySelectorAll("audio")) if (player !== event.target) player.pause();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-theme-toggle]").forEach(themeButton);
    document.querySelectorAll("table[data-sortable]").forEach(sortable);
    document.querySelectorAll("form[data-filter]").forEach(filterBox);
    document.addEventListener("play", solo, true);
  });

  // Paper shows what is folded away on the screen, except the raw manifest.
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details.method:not([open]), details.legend:not([open])"));
    opened.forEach((item) => { item.open = true; });
  });
  window.addEventListener("afterprint", () => opened.forEach((item) => { item.open = false; }));
})();

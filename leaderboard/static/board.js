"use strict";
// Boards: sorting, search, filters, choice of columns, pages, and an address for each view.
(function () {
  const { load, el, number, interval, whenNear } = window.speechEval;
  const ROWS = 25;
  const SVG = "http://www.w3.org/2000/svg"; // a name, not an address
  const boards = new Map();
  const wanted = { text: "", license: "", size: "", whole: false };

  class Board {
    constructor(section) {
      this.section = section;
      this.anchor = section.dataset.board;
      this.table = section.querySelector("table");
      this.tools = section.querySelector("[data-tools]");
      this.pager = section.querySelector("[data-pager]");
      this.none = section.querySelector("[data-none-match]");
      this.view = { sort: null, up: null, page: 0, columns: null, compat: false, points: false };
    }

    async ready() {
      if (this.data) return this;
      this.data = await load("boards/" + this.anchor);
      this.data.rows.forEach((row, index) => {
        row.index = index;
        row.words = [row.model, row.license, row.verdict, ...row.marks.map((mark) => mark.text)].join(" ").toLowerCase();
      });
      this.makeTools();
      return this;
    }

    // Indices of the columns shown; the primary always is.
    shown() {
      const chosen = this.view.columns;
      return this.data.columns.flatMap((column, index) =>
        column.primary || (chosen ? chosen.includes(index) : column.shown) ? [index] : []);
    }

    // Without a request, a sweep shows one row per model: its last point.
    rows() {
      return this.data.rows.filter((row) => this.view.points || !row.folded);
    }

    matching() {
      const words = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
      return this.rows().filter((row) =>
        words.every((word) => row.words.includes(word)) &&
        (!wanted.license || row.license === wanted.license) &&
        (!wanted.size || (row.parameters !== null && row.parameters <= Number(wanted.size))) &&
        (!wanted.whole || !row.subset));
    }

    key(row) {
      const sort = this.view.sort;
      if (sort === "rank") return row.rank;
      if (sort === "point") return row.point;
      if (sort === "model") return row.model;
      if (sort === "failures") return row.failures;
      const cell = row.cells[Number(sort)];
      return cell ? cell.strict.value : null;
    }

    // Whichever way a column is sorted: human recordings on top, then defined values, undefined ones, subsets.
    ordered(rows) {
      if (this.view.sort === null) return rows;
      const sign = this.view.up ? 1 : -1;
      return rows.map((row) => [row, this.key(row)]).sort(([a, left], [b, right]) => {
        if (a.human !== b.human) return b.human - a.human;
        if (a.subset !== b.subset) return a.subset - b.subset;
        if (left === null || right === null) return (left === null) - (right === null) || a.index - b.index;
        const order = typeof left === "string" ? left.localeCompare(right) : left - right;
        return sign * order || a.index - b.index;
      }).map(([row]) => row);
    }

    async render() {
      await this.ready();
      const rows = this.ordered(this.matching());
      const pages = Math.max(1, Math.ceil(rows.length / ROWS));
      this.view.page = Math.min(this.view.page, pages - 1);
      const from = this.view.page * ROWS;
      this.drawHead();
      const body = this.table.tBodies[0];
      let before = null;
      const byRank = this.view.sort === null || this.view.sort === "rank" || this.isPrimary(this.view.sort);
      body.replaceChildren(...rows.slice(from, from + ROWS).map((row) => {
        const made = this.drawRow(row);
        const group = this.group(row);
        if (byRank && before && before.group !== group && !before.human) before.made.classList.add("before-rank");
        before = { made, group, human: row.human };
        return made;
      }));
      this.none.hidden = rows.length > 0;
      this.drawPager(rows.length, from, pages);
      return rows.length;
    }

    // Rows of one group: those of one rank, or the points of one model.
    group(row) {
      if (!this.data.ranked) return this.data.sweep ? row.run : "";
      return row.point + "/" + row.rank;
    }

    isPrimary(sort) {
      return this.data.columns[Number(sort)]?.primary === true;
    }

    sortBy(key, best) {
      const up = best === "ascending";
      this.view.up = this.view.sort === key ? !this.view.up
        : this.view.sort === null && (key === "rank" || this.isPrimary(key)) ? !up : up;
      this.view.sort = key;
      this.view.page = 0;
      this.changed();
    }

    async changed() {
      const held = document.activeElement?.dataset?.key;
      await this.render();
      if (held) this.section.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus();
      address(this);
    }

    header(key, best, label, attributes, ...more) {
      const sorted = this.view.sort === key || (this.view.sort === null && this.isPrimary(key));
      const way = this.view.sort === null ? best : this.view.up ? "ascending" : "descending";
      const button = el("button", { type: "button", "data-key": "sort-" + key }, label);
      button.addEventListener("click", () => this.sortBy(key, best));
      return el("th", { scope: "col", "aria-sort": sorted ? way : null, ...attributes }, button, ...more);
    }

    drawHead() {
      const cells = [this.header("model", "ascending", "Model", { class: "model" })];
      if (this.data.ranked) cells.unshift(this.header("rank", "ascending", "Rank", { class: "num" }));
      if (this.data.sweep) cells.push(this.header("point", "ascending", this.data.sweep, { class: "num" }));
      this.drawAxes(cells.length);
      for (const index of this.shown()) {
        const column = this.data.columns[index];
        const best = column.direction === "lower" ? "ascending" : "descending";
        const unit = column.unit ? el("span", { class: "unit" }, " " + column.unit) : null;
        const title = column.title + (column.scorer ? ", scored by " + column.scorer : "");
        const kind = "num" + (column.primary ? " primary" : "");
        cells.push(this.header(String(index), best, el("span", null, column.name, unit), { class: kind, title },
          column.by ? el("span", { class: "better" }, "by " + column.by) : null,
          el("span", { class: "better" }, column.direction + " is better")));
        if (column.primary) cells.push(this.axis(index));
        if (this.view.compat) cells.push(el("th", { scope: "col", class: "num" }, "compat"));
      }
      cells.push(this.header("failures", "ascending", "Failures", { class: "num" }));
      this.table.tHead.rows[this.table.tHead.rows.length - 1].replaceChildren(...cells);
    }

    // The axes that a task reports separately, each above its columns.
    drawAxes(before) {
      const line = this.table.tHead.querySelector("tr.axes");
      if (!line) return;
      const spans = [];
      for (const index of this.shown()) {
        const name = this.data.columns[index].axis;
        if (spans.length && spans[spans.length - 1].name === name) spans[spans.length - 1].count += 1;
        else spans.push({ name, count: 1 });
      }
      const each = this.view.compat ? 2 : 1;
      line.replaceChildren(el("td", { colspan: before }),
        ...spans.map(({ name, count }) => el("th", { scope: "colgroup", colspan: count * each }, name)), el("td"));
    }

    range(index) {
      const ends = this.data.rows.flatMap((row) => {
        const e = row.cells[index]?.strict;
        return e ? [e.low, e.value, e.high].filter((end) => end !== null) : [];
      });
      return ends.length ? [ends.reduce((a, b) => Math.min(a, b)), ends.reduce((a, b) => Math.max(a, b))] : null;
    }

    axis(index) {
      const places = this.data.columns[index].places;
      this.scale = this.range(index);
      const ends = (this.scale || []).map((end) => el("span", null, number(end, places)));
      return el("th", { scope: "col", class: "bars" }, el("span", { class: "hidden" }, "Interval"),
        el("span", { class: "axis", "aria-hidden": "true" }, ends));
    }

    drawRow(row) {
      const made = el("tr", { class: (row.rank === 1 ? "leading" : "") + (row.human ? " human" : "") });
      if (this.data.ranked) made.append(this.drawRank(row));
      made.append(this.drawModel(row));
      if (this.data.sweep) made.append(el("td", { class: "num", "data-label": this.data.sweep }, String(row.point)));
      for (const index of this.shown()) {
        const column = this.data.columns[index];
        const cell = row.cells[index];
        const kind = "num" + (column.primary ? " primary" : "");
        const named = column.name + (cell && column.unit ? " " + column.unit : "");
        made.append(cell ? this.drawCell(cell, column, kind, named)
          : el("td", { class: kind, "data-label": named }, el("span", { class: "quiet", title: "not measured in this run" }, "–")));
        if (column.primary) made.append(el("td", { class: "bars" }, cell ? this.bar(cell.strict) : null));
        if (this.view.compat) made.append(this.drawCompat(cell, column));
      }
      made.append(el("td", { class: "num", "data-label": "Failures", title: row.failure_words },
        el("span", { class: row.failures ? "failures" : "quiet" }, String(row.failures)),
        el("span", { class: "quiet" }, "/" + row.expected)));
      return made;
    }

    drawRank(row) {
      if (row.rank === null) return el("td", { class: "num rank" }, el("span", { class: "quiet", title: "not ranked" }, "–"));
      const tie = row.rank_shared ? [el("span", { class: "eq", title: "tie: the difference is not significant" }, "="),
        el("span", { class: "hidden" }, " shared")] : [];
      return el("td", { class: "num rank" }, String(row.rank), ...tie);
    }

    drawModel(row) {
      const size = row.parameters ? Number((row.parameters / 1e6).toPrecision(4)) + " M · " : "";
      const under = size + (row.license ? row.license + " · " : "") + "seed " + row.seed;
      const marks = row.marks.map((mark) => el("span", { class: "mark", title: mark.meaning }, mark.text));
      if (row.verdict) {
        const kind = { pass: " good", regression: " bad" }[row.verdict] || "";
        marks.push(el("span", { class: "mark" + kind }, "gate: " + row.verdict));
      }
      return el("th", { scope: "row", class: "model" }, el("a", { href: row.page }, row.model),
        el("span", { class: "under" }, under), ...marks);
    }

    drawCell(cell, column, kind, named) {
      const places = column.places;
      const undefinedTitle = cell.strict.value === null ? "undefined: the quantile falls among failures" : null;
      const parts = [el("span", { class: "value", title: undefinedTitle }, number(cell.strict.value, places))];
      const span = interval(cell.strict, places);
      if (span) parts.push(" ", el("span", { class: "interval" }, span));
      if (cell.note) {
        parts.push(" ", el("span", { class: "dagger", title: cell.note }, "†", el("span", { class: "hidden" }, " " + cell.note)));
      }
      if (cell.compat && !this.view.compat) {
        const text = "compat " + number(cell.compat.value, places) + " " + interval(cell.compat, places);
        parts.push(el("span", { class: "compat", title: "as the original benchmark computes it; see Terms" }, text));
      }
      return el("td", { class: kind, "data-label": named }, ...parts);
    }

    drawCompat(cell, column) {
      if (!cell) return el("td", { class: "num" });
      const estimate = cell.compat || cell.strict;
      return el("td", { class: "num" + (cell.compat ? "" : " same"), "data-label": "compat" }, number(estimate.value, column.places), " ",
        el("span", { class: "interval" }, interval(estimate, column.places)));
    }

    bar(estimate) {
      if (estimate.value === null || !this.scale) return null;
      const [least, most] = this.scale;
      const place = (value) => (most > least ? 4 + 92 * (value - least) / (most - least) : 50).toFixed(2) + "%";
      const bounded = estimate.low !== null || estimate.high !== null;
      const low = bounded ? estimate.low ?? least : estimate.value;
      const high = bounded ? estimate.high ?? most : estimate.value;
      const svg = (tag, attributes) => {
        const made = document.createElementNS(SVG, tag);
        for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
        return made;
      };
      const drawing = svg("svg", { class: "bar", "aria-hidden": "true", focusable: "false" });
      drawing.append(svg("line", { class: "track", x1: "0", x2: "100%", y1: "50%", y2: "50%" }),
        svg("line", { class: "span", x1: place(low), x2: place(high), y1: "50%", y2: "50%" }),
        svg("circle", { cx: place(estimate.value), cy: "50%", r: "3.5" }));
      return drawing;
    }

    drawPager(count, from, pages) {
      if (pages === 1) return this.pager.replaceChildren();
      const go = (page, label, name) => {
        const button = el("button", { type: "button", disabled: page < 0 || page >= pages, "data-key": name }, label);
        button.addEventListener("click", () => {
          this.view.page = page;
          this.changed();
        });
        return button;
      };
      const field = el("input", { type: "number", min: 1, max: pages, value: this.view.page + 1,
        "aria-label": "Page", "data-key": "page" });
      field.addEventListener("change", () => {
        this.view.page = Math.min(pages, Math.max(1, Math.round(Number(field.value)) || 1)) - 1;
        this.changed();
      });
      this.pager.replaceChildren(
        el("span", { class: "muted" }, (from + 1) + "–" + Math.min(count, from + ROWS) + " of " + count),
        go(this.view.page - 1, "Previous", "previous"), el("label", null, "Page ", field, " of " + pages),
        go(this.view.page + 1, "Next", "next"));
    }

    makeTools() {
      const toggle = (key, text, title) => {
        const box = el("input", { type: "checkbox", "data-key": key });
        box.checked = this.view[key];
        box.addEventListener("change", () => {
          this.view[key] = box.checked;
          this.changed();
        });
        return el("label", { class: "check", title }, box, text);
      };
      const folded = this.data.rows.filter((row) => row.folded).length;
      const boxes = this.data.columns.map((column, index) => {
        const box = el("input", { type: "checkbox", disabled: column.primary, "data-key": "column-" + index });
        box.checked = this.shown().includes(index);
        box.addEventListener("change", () => {
          const shown = new Set(this.shown());
          if (box.checked) shown.add(index);
          else shown.delete(index);
          this.view.columns = [...shown].sort((a, b) => a - b);
          this.changed();
        });
        return el("label", { class: "check", title: column.title }, box, " " + column.name);
      });
      const chooser = el("details", { class: "columns" }, el("summary", null, "Columns"), el("div", { class: "menu" }, boxes));
      document.addEventListener("click", (event) => {
        if (!chooser.contains(event.target)) chooser.open = false;
      });
      chooser.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        chooser.open = false;
        chooser.querySelector("summary").focus();
      });
      this.tools.replaceChildren(chooser,
        toggle("compat", " compat beside strict", "as the original benchmark computes it; see Terms"),
        ...(folded ? [toggle("points", " every " + this.data.sweep + " (" + folded + " more rows)")] : []));
    }

    describe() {
      const { sort, up, page, columns, compat, points } = this.view;
      const params = {};
      if (sort !== null) Object.assign(params, { sort, up: up ? "1" : "0" });
      if (page) params.page = String(page + 1);
      if (columns) params.columns = columns.join(".");
      if (compat) params.compat = "1";
      if (points) params.points = "1";
      return params;
    }

    recall(params) {
      const known = (text) => ["rank", "model", "point", "failures"].includes(text) || /^\d{1,4}$/.test(text);
      if (params.has("sort") && known(params.get("sort"))) {
        this.view.sort = params.get("sort");
        this.view.up = params.get("up") !== "0";
      }
      this.view.page = Math.max(0, (parseInt(params.get("page"), 10) || 1) - 1);
      if (params.has("columns")) this.view.columns = params.get("columns").split(".").filter(Boolean).map(Number);
      this.view.compat = params.get("compat") === "1";
      this.view.points = params.get("points") === "1";
    }
  }

  // The address holds the view, so that a link shows the same: #board?sort=2&up=1&q=whisper
  function address(board) {
    const params = new URLSearchParams(board ? board.describe() : {});
    if (wanted.text) params.set("q", wanted.text);
    if (wanted.license) params.set("license", wanted.license);
    if (wanted.size) params.set("size", wanted.size);
    if (wanted.whole) params.set("whole", "1");
    const anchor = board ? board.anchor : location.hash.slice(1).split("?")[0];
    const query = params.toString();
    history.replaceState(null, "", "#" + anchor + (query ? "?" + query : ""));
  }

  async function renderAll(count) {
    const matches = await Promise.all([...boards.values()].map((board) => {
      board.view.page = 0;
      return board.render();
    }));
    const total = [...boards.values()].reduce((sum, board) => sum + board.rows().length, 0);
    const filtered = wanted.text.trim() || wanted.license || wanted.size || wanted.whole;
    count.textContent = filtered ? matches.reduce((a, b) => a + b, 0) + " of " + total + " rows" : "";
  }

  function filters(form) {
    const fields = { text: form.querySelector("#filter"), license: form.querySelector("#license"),
      size: form.querySelector("#size"), whole: form.querySelector("#whole") };
    const count = form.querySelector("[data-filter-count]");
    let timer = 0;
    const apply = () => {
      Object.assign(wanted, { text: fields.text.value, license: fields.license.value, size: fields.size.value,
        whole: fields.whole.checked });
      address(null);
      return renderAll(count);
    };
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(apply, 60);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.closest("input, select, textarea")) return;
      event.preventDefault();
      fields.text.focus();
    });
    return { fields, apply };
  }

  async function follow(form) {
    const [anchor, query] = location.hash.slice(1).split("?");
    const params = new URLSearchParams(query || "");
    form.fields.text.value = params.get("q") || "";
    form.fields.license.value = params.get("license") || "";
    form.fields.size.value = params.get("size") || "";
    form.fields.whole.checked = params.get("whole") === "1";
    const board = boards.get(anchor);
    if ([...params.keys()].some((key) => ["q", "license", "size", "whole"].includes(key))) await form.apply();
    if (!board) return;
    if (query) {
      board.recall(params);
      await board.render();
      board.makeTools();
      address(board);
    }
    board.section.scrollIntoView();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("section[data-board]").forEach((section) => {
      const board = new Board(section);
      boards.set(board.anchor, board);
      whenNear(section, () => board.render());
    });
    const form = filters(document.querySelector("form[data-filter]"));
    follow(form);
    window.addEventListener("hashchange", () => follow(form));
  });
})();

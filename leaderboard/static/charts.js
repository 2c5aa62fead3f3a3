"use strict";
// Draws the charts with plotly in the page's own colors, each when it comes near the screen.
(function () {
  const { load, el, number, whenNear, root } = window.speechEval;
  const drawn = [];

  function color(name) {
    return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  }

  const palette = () => ["p1", "p2", "p3", "p4", "p5", "p6"].map(color);
  const SYMBOLS = ["circle", "square", "diamond", "cross", "triangle-up", "star"];
  const group = (axis) => (axis.axis ? axis.axis + ": " : "");
  const label = (axis) => axis.name + (axis.unit ? " (" + axis.unit + ")" : "");
  // plotly reads a small markup in texts, and a model's name is whatever its author chose
  const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const error = (triples) => ({
    type: "data", symmetric: false, thickness: 1.2, width: 3,
    array: triples.map(([value, , high]) => (high === null ? 0 : high - value)),
    arrayminus: triples.map(([value, low]) => (low === null ? 0 : value - low)),
  });
  const better = (axis) => label(axis) + " · " + axis.direction + " is better";

  function layout(more) {
    const axis = { gridcolor: color("rule"), linecolor: color("rule"), zerolinecolor: color("rule"), automargin: true };
    const { xaxis, yaxis, ...rest } = more;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: palette(), hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, color: color("ink"), size: 13 },
      margin: { l: 64, r: 24, t: 44, b: 56 }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, barcornerradius: 3,
      height: 430,
      hoverlabel: { bgcolor: color("raised"), bordercolor: color("rule"), font: { color: color("ink") } },
      xaxis: { ...axis, ...xaxis, title: { text: safe(xaxis?.title || "") } },
      yaxis: { ...axis, ...yaxis, title: { text: safe(yaxis?.title || "") } }, ...rest,
    };
  }

  // A name beside its point, towards the middle, where no interval runs through it.
  function beside(values, log) {
    const place = (value) => (log ? Math.log(value) : value);
    const places = values.map(place).filter(Number.isFinite);
    const middle = (places.reduce((a, b) => Math.min(a, b), Infinity) + places.reduce((a, b) => Math.max(a, b), -Infinity)) / 2;
    return values.map((value) => (place(value) >= middle ? "top left" : "top right"));
  }

  // Room for the names beside the outermost points.
  function roomy(values, log) {
    const known = values.filter((value) => value !== null && (!log || value > 0));
    if (!known.length) return {};
    const [low, high] = [known.reduce((a, b) => Math.min(a, b)), known.reduce((a, b) => Math.max(a, b))];
    const ratio = log ? Math.pow(high / low || 1, 0.1) * 1.02 : 0;
    const span = 0.1 * (high - low) || Math.abs(high) * 0.1 || 1;
    if (!log) return { autorangeoptions: { include: [low - span, high + span] } };
    const ticks = [-2, -1, 0, 1, 2, 3, 4, 5].flatMap((power) => [1, 1.5, 2, 3, 4, 6, 8].map((step) => Number((step * 10 ** power).toPrecision(2))));
    return { autorangeoptions: { include: [low / ratio, high * ratio] }, tickvals: ticks, ticktext: ticks.map(String) };
  }

  function show(place, traces, more) {
    const narrow = place.clientWidth < 520;
    return window.Plotly.react(place, traces, layout(narrow ? { ...more, showlegend: false } : more),
      { responsive: true, displayModeBar: false });
  }

  function menu(tools, text, options, chosen, action) {
    const select = el("select", null, options.map((option, index) => el("option", { value: index }, option)));
    select.value = chosen;
    select.addEventListener("change", () => action(Number(select.value)));
    tools.append(el("label", null, text + " ", select));
    return select;
  }

  // A menu of boards beside the pickers that `choose(index)` fills for one board; gives `draw` back for the first.
  async function perBoard(chart, tools, pickers, choose, draw) {
    menu(tools, "Board", chart.boards.map((one) => one.name), 0, async (index) => {
      await choose(index);
      draw();
    });
    tools.append(pickers);
    await choose(0);
    return draw;
  }

  const kinds = {
    pareto(chart, place, tools) {
      let chosen = 1;
      const draw = () => {
        const points = chart.points.filter((p) => p.values[0][0] !== null && p.values[chosen][0] !== null);
        const xs = points.map((p) => p.values[0]);
        const ys = points.map((p) => p.values[chosen]);
        const front = chart.fronts[chosen - 1].map((index) => chart.points[index]);
        const few = points.length <= 30;
        return show(place, [
          { x: front.map((p) => p.values[0][0]), y: front.map((p) => p.values[chosen][0]), mode: "lines", name: "Pareto front",
            line: { color: color("accent"), width: 2, shape: "linear" }, hoverinfo: "skip" },
          { x: xs.map((v) => v[0]), y: ys.map((v) => v[0]), error_x: { ...error(xs), color: color("muted") },
            error_y: { ...error(ys), color: color("muted") }, mode: few ? "markers+text" : "markers", name: "models",
            text: points.map((p) => safe(p.model)), textposition: beside(xs.map((v) => v[0]), chart.log), textfont: { size: 11, color: color("muted") },
            marker: { size: 9, color: points.map((p) => (front.includes(p) ? color("accent") : color("muted"))) },
            hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>", cliponaxis: false },
        ], { xaxis: { title: label(chart.axes[0]), type: chart.log ? "log" : "linear", ...roomy(xs.map((v) => v[0]), chart.log) },
          yaxis: { title: better(chart.axes[chosen]), ...roomy(ys.map((v) => v[0])) }, showlegend: false });
      };
      if (chart.axes.length > 2) {
        menu(tools, "Quality", chart.axes.slice(1).map((axis) => group(axis) + label(axis)), 0, (index) => {
          chosen = index + 1;
          draw();
        });
      }
      return draw;
    },

    sweep(chart, place, tools, sounds) {
      const rate = chart.rate;
      let chosen = Math.max(0, chart.axes.findIndex((axis) => axis.axis !== "bitrate"));
      let byRate = rate !== null;
      const draw = () => {
        const shade = (index) => palette()[index % 6];
        const across = (point) => (byRate ? point.values[rate][0] : point.x);
        const all = [];
        const traces = chart.curves.map((curve, index) => {
          const points = curve.points.filter((p) => p.values[chosen][0] !== null && across(p) !== null);
          all.push(...points.map(across));
          return { x: points.map(across), y: points.map((p) => p.values[chosen][0]), mode: byRate ? "lines+markers+text" : "lines+markers",
            line: { color: shade(index) }, name: safe(curve.model), text: points.map((p) => String(p.x)), textposition: "bottom right", textfont: { size: 11, color: color("muted") },
            error_y: error(points.map((p) => p.values[chosen])), marker: { size: 8, symbol: SYMBOLS[index % SYMBOLS.length] }, cliponaxis: false,
            hovertemplate: chart.axis + " %{text}<br>%{x:.4g}, %{y:.4g}<extra>" + safe(curve.model) + "</extra>" };
        });
        const steps = [...new Set(chart.curves.flatMap((curve) => curve.points.map((p) => p.x)))].sort((a, b) => a - b);
        // the recordings as they are: one number, whatever the value of the condition
        const clean = chart.curves.flatMap((curve, index) => (!curve.clean || curve.clean[chosen][0] === null ? [] : [{
          x: [steps[0], steps[steps.length - 1]], y: [curve.clean[chosen][0], curve.clean[chosen][0]], mode: "lines", showlegend: false,
          line: { dash: "dot", width: 1.4, color: shade(index) }, hovertemplate: "clean<br>%{y:.4g}<extra>" + safe(curve.model) + "</extra>" }]));
        const scale = byRate ? roomy(all, true) : { tickvals: steps, ticktext: steps.map(String) };
        const title = byRate ? label(chart.axes[rate]) + " at each " + chart.axis : label({ name: chart.axis, unit: chart.unit });
        return show(place, [...traces, ...clean], { xaxis: { title, type: chart.log ? "log" : "linear", ...scale }, yaxis: { title: better(chart.axes[chosen]) }, showlegend: true });
      };
      menu(tools, "Number", chart.axes.map((axis) => group(axis) + label(axis)), chosen, (index) => {
        chosen = index;
        draw();
      });
      if (rate !== null) {
        menu(tools, "across", [label(chart.axes[rate]), chart.axis], 0, (index) => {
          byRate = index === 0;
          draw();
        });
      }
      depthPlayer(chart, sounds);
      return draw;
    },

    policy(chart, place, tools) {
      let chosen = 0;
      const shades = ["p1", "p2", "p3", "p4", "p5", "p6"];
      const draw = () => {
        const curve = chart.curves[chosen];
        const front = curve.points.filter((p) => p.front).sort((a, b) => a.values[0][0] - b.values[0][0]);
        const thresholds = [...new Set(curve.points.map((p) => p.threshold))];
        const at = (points, index) => points.map((p) => p.values[index][0]);
        const rule = (p) => "threshold " + p.threshold + ", delay " + p.delay + " s";
        const rules = thresholds.map((threshold, index) => {
          const points = curve.points.filter((p) => p.threshold === threshold);
          return { x: at(points, 0), y: at(points, 1), mode: "markers", name: "threshold " + threshold, text: points.map(rule),
            marker: { size: points.map((p) => (p.front ? 10 : 6)), color: color(shades[index % 6]), symbol: SYMBOLS[index % SYMBOLS.length] },
            hovertemplate: "%{text}<br>%{x:.3g} s, %{y:.3g} %<extra></extra>" };
        });
        const values = [0, 1].map((index) => chart.agents.map((agent) => agent.values[index]));
        return show(place, [
          { x: at(front, 0), y: at(front, 1), mode: "lines", name: "Pareto front", line: { color: color("accent"), width: 2 }, hoverinfo: "skip" },
          ...rules,
          { x: values[0].map((v) => v[0]), y: values[1].map((v) => v[0]), mode: "markers+text", name: "agents, in conversation",
            error_x: { ...error(values[0]), color: color("muted") }, error_y: { ...error(values[1]), color: color("muted") },
            text: chart.agents.map((agent) => safe(agent.model)), textposition: beside(values[0].map((v) => v[0])), textfont: { size: 12, color: color("ink") },
            marker: { size: 15, symbol: "circle", color: "rgba(0,0,0,0)", line: { color: color("ink"), width: 2 } }, cliponaxis: false },
        ], { xaxis: { title: better(chart.axes[0]), rangemode: "tozero" }, yaxis: { title: better(chart.axes[1]), rangemode: "tozero" }, height: 520 });
      };
      if (chart.curves.length > 1) {
        menu(tools, "Probabilities of", chart.curves.map((curve) => curve.model), 0, (index) => {
          chosen = index;
          draw();
        });
      }
      return draw;
    },

    bars(chart, place, tools) {
      const units = [...new Set(chart.axes.map((axis) => axis.unit))];
      let unit = units[0];
      const draw = () => {
        const models = chart.points.map((p) => safe(p.model));
        const bars = chart.axes.flatMap((axis, index) => {
          if (axis.unit !== unit) return [];
          const values = chart.points.map((p) => p.values[index]);
          return { type: "bar", orientation: "h", name: safe(axis.name), y: models, x: values.map((v) => v[0]), error_x: error(values) };
        });
        return show(place, bars, { yaxis: { autorange: "reversed" }, xaxis: { title: unit }, barmode: "group", showlegend: true,
          height: 130 + 30 * models.length * bars.length });
      };
      if (units.length > 1) {
        menu(tools, "Unit", units, 0, (index) => {
          unit = units[index];
          draw();
        });
      }
      return draw;
    },

    waterfall(chart, place) {
      return () => {
        const models = chart.points.map((p) => safe(p.model));
        const value = (index) => chart.points.map((p) => p.values[index][0]);
        const heard = chart.points.map((p) => p.values[2]);
        const [first, silence] = [color("p1"), color("p2")];
        return show(place, [
          { type: "bar", orientation: "h", name: "time to first byte", y: models, x: value(0), marker: { color: first } },
          { type: "bar", orientation: "h", name: "leading silence", y: models, x: value(1), base: value(0),
            marker: { color: silence } },
          { mode: "markers", name: "first audible sound", y: models, x: heard.map((v) => v[0]), error_x: { ...error(heard), color: color("ink") },
            marker: { symbol: "diamond", size: 11, color: color("ink") } },
        ], { barmode: "overlay", yaxis: { autorange: "reversed" }, xaxis: { title: "seconds after the request", rangemode: "tozero" },
          height: 140 + 46 * models.length });
      };
    },

    ranks(chart, place, tools) {
      let chosen = Math.max(0, chart.axes.findIndex((axis) => axis.axis !== "bitrate"));
      const draw = () => {
        const points = chart.points[chosen];
        return show(place, [
          { x: [1, points.length], y: [1, points.length], mode: "lines", line: { dash: "dot", color: color("muted") }, hoverinfo: "skip" },
          { x: points.map((p) => p.ranks[0]), y: points.map((p) => p.ranks[1]), mode: "markers+text",
            text: points.map((p) => safe(p.model)), textposition: "top center", marker: { size: 10, color: color("accent") }, cliponaxis: false },
        ], { showlegend: false, xaxis: { title: "rank, " + chart.names[0] + " by " + chart.axes[chosen].name, dtick: 1, autorange: "reversed" },
          yaxis: { title: "rank, " + chart.names[1], dtick: 1, autorange: "reversed" } });
      };
      menu(tools, "Reconstruction by", chart.axes.map((axis) => group(axis) + label(axis)), chosen, (index) => {
        chosen = index;
        draw();
      });
      return draw;
    },

    async scatter(chart, place, tools) {
      let board, x, y;
      const pickers = el("span", { class: "pickers" });
      const draw = () => {
        const rows = board.rows.filter((row) => row.cells[x]?.strict.value != null && row.cells[y]?.strict.value != null);
        const triple = (index) => rows.map((row) => [row.cells[index].strict.value, row.cells[index].strict.low, row.cells[index].strict.high]);
        const few = rows.length <= 30;
        return show(place, [{ x: triple(x).map((v) => v[0]), y: triple(y).map((v) => v[0]), error_x: { ...error(triple(x)), color: color("muted") },
          error_y: { ...error(triple(y)), color: color("muted") }, mode: few ? "markers+text" : "markers", text: rows.map((row) => safe(row.point === null ? row.model : row.model + " · " + row.point)),
          textposition: beside(triple(x).map((v) => v[0])), textfont: { size: 11, color: color("muted") }, cliponaxis: false,
          marker: { size: 9, color: rows.map((row) => (row.human ? color("sub") : color("accent"))), symbol: rows.map((row) => (row.human ? "star" : "circle")) },
          hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>" }],
        { xaxis: { title: better(board.columns[x]), ...roomy(triple(x).map((v) => v[0])) },
          yaxis: { title: better(board.columns[y]), ...roomy(triple(y).map((v) => v[0])) }, showlegend: false });
      };
      const choose = async (index) => {
        board = await load("boards/" + chart.boards[index].anchor);
        [x, y] = [0, 1];
        pickers.replaceChildren();
        const names = board.columns.map(label);
        menu(pickers, "across", names, 0, (value) => { x = value; draw(); });
        menu(pickers, "up", names, 1, (value) => { y = value; draw(); });
      };
      return perBoard(chart, tools, pickers, choose, draw);
    },

    async history(chart, place, tools) {
      const MARKS = { pass: ["✓", "good"], regression: ["✗", "bad"], "could not judge": ["?", "sub"] };
      let board, model, column;
      const pickers = el("span", { class: "pickers" });
      const draw = () => {
        const rows = board.rows.filter((row) => row.model === model && row.at && row.cells[column]).sort((a, b) => (a.at < b.at ? -1 : 1));
        const values = rows.map((row) => [row.cells[column].strict.value, row.cells[column].strict.low, row.cells[column].strict.high]);
        const mark = (row) => MARKS[row.verdict] || ["", "accent"];
        return show(place, [{ x: rows.map((row) => row.at), y: values.map((v) => v[0]), error_y: { ...error(values), color: color("muted") },
          mode: "lines+markers+text", text: rows.map((row) => mark(row)[0]), textposition: "top right", textfont: { size: 16 },
          line: { color: color("muted"), width: 1 }, marker: { size: 10, color: rows.map((row) => color(mark(row)[1])) },
          customdata: rows.map((row) => safe(row.verdict || "no gate")), hovertemplate: "%{x}<br>%{y:.4g}<br>%{customdata}<extra></extra>" }],
        { xaxis: { type: "date" }, yaxis: { title: better(board.columns[column]) }, showlegend: false });
      };
      const choose = async (index) => {
        board = await load("boards/" + chart.boards[index].anchor);
        model = chart.boards[index].models[0];
        column = 0;
        pickers.replaceChildren();
        menu(pickers, "Model", chart.boards[index].models, 0, (value) => { model = chart.boards[index].models[value]; draw(); });
        menu(pickers, "Number", board.columns.map(label), 0, (value) => { column = value; draw(); });
      };
      return perBoard(chart, tools, pickers, choose, draw);
    },
  };

  // One sample of one codec at every depth; a switch keeps the position.
  function depthPlayer(chart, place) {
    const curves = chart.curves.filter((curve) => curve.points.some((point) => point.sounds.length));
    if (!curves.length) return;
    const controls = el("span", { class: "pickers" });
    const audio = el("audio", { controls: true, preload: "none", "aria-label": "The sample at the chosen " + chart.axis });
    const steps = el("div", { class: "choice", role: "group", "aria-label": chart.axis });
    let curve = curves[0], name = "";
    const play = (point, button) => {
      const sound = point.sounds.find((one) => one.sample === name);
      if (!sound) return;
      const [at, going] = [audio.currentTime, !audio.paused];
      audio.src = root + sound.src;
      audio.currentTime = at;
      if (going) audio.play().catch(() => {});
      for (const one of steps.children) one.setAttribute("aria-pressed", String(one === button));
    };
    const fill = () => {
      steps.replaceChildren(...curve.points.filter((point) => point.sounds.some((one) => one.sample === name)).map((point) => {
        const button = el("button", { type: "button", "aria-pressed": "false" }, String(point.x));
        button.addEventListener("click", () => play(point, button));
        return button;
      }));
      steps.lastElementChild?.click();
    };
    const choose = (index) => {
      curve = curves[index];
      const names = [...new Set(curve.points.flatMap((point) => point.sounds.map((one) => one.sample)))];
      name = names[0];
      controls.replaceChildren();
      if (curves.length > 1) menu(controls, "Hear", curves.map((one) => one.model), index, choose);
      menu(controls, "sample", names, 0, (value) => { name = names[value]; fill(); });
      fill();
    };
    place.append(controls, el("span", null, chart.axis), steps, audio);
    place.hidden = false;
    choose(0);
  }

  async function start(section) {
    const place = section.querySelector("[data-plot]");
    try {
      const chart = await load("charts/" + section.dataset.chart);
      const draw = await kinds[chart.kind](chart, place, section.querySelector("[data-tools]"), section.querySelector("[data-sounds]"));
      drawn.push(draw);
      await draw();
      section.dataset.drawn = "";
    } catch (problem) {
      place.textContent = problem.message;
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.Plotly) return;
    document.querySelectorAll("section[data-chart]").forEach((section) => whenNear(section, () => start(section)));
    document.addEventListener("speech-eval-theme", () => drawn.forEach((draw) => draw()));
  });
})();

"use strict";
// A listening test: welcome, volume, headphone check, trials, and the answers as one file. Keys: Space plays and pauses,
// letters play a sound, digits choose an answer, Enter goes on. Answers are kept in this browser until they are handed in.
(function () {
  const { el, load } = window.speechEval;
  const { Sounds, Together, waveform } = window.listening;
  const LETTERS = "abcdefghijkl";
  let test; // the description of the test
  let state; // what this listener has done
  let screen = null; // what is shown: { sounds, ready(), next(), choose(digit) }

  // ------------------------------------------------------------------------------------------ storage

  const place = () => "speech-eval-listening-" + test.test;

  function kept() {
    try {
      return JSON.parse(localStorage.getItem(place()));
    } catch {
      return null; // storage may be closed to files opened from a disk
    }
  }

  function keep() {
    try {
      localStorage.setItem(place(), JSON.stringify(state));
      return true;
    } catch {
      return false;
    }
  }

  function forget() {
    try {
      localStorage.removeItem(place());
    } catch { /* nothing was kept */ }
  }

  function randomName() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // The form: that of the address (`?form=3`), the next one of the server, or a random one.
  async function chosenForm() {
    const asked = new URLSearchParams(location.search).get("form");
    if (asked !== null && /^\d{1,6}$/.test(asked)) return Number(asked) % test.forms.length;
    if (location.protocol.startsWith("http")) {
      try {
        const answer = await fetch("form", { cache: "no-store" });
        const found = answer.ok ? await answer.json() : null;
        if (found && Number.isInteger(found.form)) return found.form % test.forms.length;
      } catch { /* another server than ours */ }
    }
    return crypto.getRandomValues(new Uint32Array(1))[0] % test.forms.length;
  }

  async function fresh() {
    return { test: test.test, rater: randomName(), form: await chosenForm(), stage: "welcome", headphones: [], position: 0, answers: [] };
  }

  function document_() {
    return {
      schema_version: 1,
      test: state.test,
      rater: state.rater,
      form: state.form,
      headphones: state.headphones,
      complete: state.position >= steps().length,
      answers: state.answers,
    };
  }

  const steps = () => test.forms[state.form];

  // ------------------------------------------------------------------------------------------ screens

  function say(text) {
    document.getElementById("said").textContent = text;
  }

  function show(title, content, made = {}) {
    screen?.sounds?.stop();
    screen = made;
    const heading = el("h1", { tabindex: "-1" }, title);
    document.getElementById("main").replaceChildren(heading, ...content.filter(Boolean));
    window.scrollTo(0, 0);
    heading.focus({ preventScroll: true });
    const bar = document.getElementById("progress");
    bar.hidden = state.stage !== "trials";
    bar.max = steps().length;
    bar.value = state.position;
    bar.setAttribute("aria-valuetext", state.position + " of " + steps().length + " done");
    refresh();
  }

  function nextButton(label = "Next") {
    const button = el("button", { type: "button", class: "go" }, label, " ", el("kbd", { "aria-hidden": "true" }, "Enter"));
    button.addEventListener("click", () => advance());
    return button;
  }

  // Why the listener cannot go on yet; empty where they can.
  function lacking() {
    return screen?.lacking ? screen.lacking() : "";
  }

  function refresh() {
    const missing = lacking();
    for (const button of document.querySelectorAll(".go")) button.setAttribute("aria-disabled", String(Boolean(missing)));
    for (const hint of document.querySelectorAll(".hint")) hint.textContent = missing;
  }

  function advance() {
    const missing = lacking();
    if (missing) say(missing);
    else screen?.next?.();
  }

  function go(stage) {
    state.stage = stage;
    keep();
    ({ welcome, volume, headphones, trials, end })[stage]();
  }

  function welcome() {
    const before = state.answers.length;
    const storing = keep();
    show(test.title, [
      el("p", { class: "lede" }, "You will hear short recordings of speech and say what you think of them. There are no right answers; your first impression counts."),
      el("ul", { class: "rules" },
        el("li", null, "Sit in a quiet place and use headphones."),
        el("li", null, steps().length + " short parts. ", storing ? "You can stop at any time and go on later in this browser." : "This browser keeps nothing: do it in one go."),
        el("li", null, "Your answers are stored under a random name. Nothing about you is asked or recorded.")),
      el("p", { class: "quiet keys" }, "By keyboard: ", el("kbd", null, "Space"), " plays, ", el("kbd", null, "A"), " ", el("kbd", null, "B"), " … play a sound, digits choose an answer, ", el("kbd", null, "Enter"), " goes on."),
      el("div", { class: "foot" }, nextButton(before ? "Go on" : "Begin")),
    ], { next: () => go(state.resume || "volume") });
  }

  function volume() {
    const sounds = new Sounds([{ name: "Example", key: "a", file: test.example }], { changed: refresh });
    show("Set the volume", [
      el("p", { class: "lede" }, "Play the example and set a comfortable volume. Do not change it afterwards."),
      sounds.box,
      foot(),
    ], { sounds, lacking: () => heard(sounds), next: () => go(test.headphones.length ? "headphones" : "trials") });
  }

  function foot(label) {
    return el("div", { class: "foot" }, nextButton(label), el("p", { class: "hint quiet" }, ""));
  }

  function heard(sounds) {
    const names = sounds.unheard();
    if (!names.length) return "";
    return sounds.inPlace ? "Play " + names.join(", ") + " first." : "Listen to " + names.join(", ") + " to the end first.";
  }

  function headphones() {
    const number = state.headphones.length;
    if (number >= test.headphones.length) return headphonesDone();
    const sounds = new Sounds([{ name: "Three tones", key: "a", file: test.headphones[number].file }], { changed: refresh });
    const choices = choiceList("Which tone is the quietest?", [[1, "The first"], [2, "The second"], [3, "The third"]], { byValue: true });
    show("Headphone check, " + (number + 1) + " of " + test.headphones.length, [
      el("p", { class: "lede" }, "Are you wearing headphones? You hear three tones; say which one is the quietest."),
      sounds.box, choices.box, foot(),
    ], {
      sounds,
      choose: choices.choose,
      lacking: () => heard(sounds) || choices.lacking(),
      next: () => {
        state.headphones.push(choices.value());
        go("headphones");
      },
    });
  }

  function headphonesDone() {
    const right = state.headphones.filter((choice, i) => choice === test.headphones[i].quietest).length;
    if (right >= test.needed) return go("trials");
    const again = el("button", { type: "button" }, "Check again");
    again.addEventListener("click", () => {
      state.headphones = [];
      go("headphones");
    });
    show("It sounds as if you use loudspeakers", [
      el("p", { class: "lede" }, right + " of " + test.headphones.length + " were right. Please put on headphones, each side on its ear, and check again. You can also go on without; the check's result is stored."),
      el("div", { class: "foot" }, again, nextButton("Go on without")),
    ], { next: () => go("trials") });
  }

  // ------------------------------------------------------------------------------------------- trials

  function trials() {
    state.resume = "trials";
    const step = steps()[state.position];
    if (!step) return go("end");
    const trial = test.trials[step.trial];
    const asked = test.asked[trial.kind];
    const opened = performance.now();
    const part = ({ single, pair, many })[asked.style](trial, step, asked);
    const title = trial.practice ? asked.title + ": practice" : asked.title;
    show(title, [
      trial.practice ? el("p", { class: "lede" }, "The first one is for practice; its answer does not count.") : null,
      trial.text ? el("blockquote", { class: "words", lang: trial.language }, trial.text) : null,
      ...part.content,
      foot(),
    ], {
      ...part,
      lacking: () => heard(part.sounds) || part.lacking(),
      next: () => {
        const seconds = Math.round((performance.now() - opened) / 100) / 10;
        state.answers.push({ trial: step.trial, value: part.value(), plays: part.sounds.plays, seconds });
        state.position += 1;
        go(state.position < steps().length ? "trials" : "end");
      },
    });
  }

  function soundsOf(trial, step, names) {
    return step.order.map((place, i) => ({ name: names[i], key: names[i][0].toLowerCase(), file: trial.sounds[place] }));
  }

  function single(trial, step, asked) {
    const list = soundsOf(trial, step, [trial.beside ? "Second recording" : "Speech"]);
    list[0].key = trial.beside ? "b" : "a";
    if (trial.beside) list.unshift({ name: "First recording", key: "a", file: trial.beside });
    const sounds = new Sounds(list, { changed: refresh });
    if (!asked.choices.length) return remarks(sounds, asked);
    const choices = choiceList(asked.question, asked.choices, { byValue: asked.choices.length === 5 });
    return { sounds, content: [sounds.box, choices.box], choose: choices.choose, lacking: choices.lacking, value: choices.value };
  }

  function remarks(sounds, asked) {
    const box = el("textarea", { rows: 4, maxlength: 1000, id: "remarks" });
    return {
      sounds,
      content: [sounds.box, el("label", { class: "question", for: "remarks" }, asked.question, el("span", { class: "quiet" }, " (may stay empty)")), box],
      lacking: () => "",
      value: () => box.value.trim().slice(0, 1000),
    };
  }

  function pair(trial, step, asked) {
    const sounds = new Sounds(soundsOf(trial, step, ["A", "B", "X"]), { changed: refresh });
    const choices = choiceList(asked.question, asked.choices, { byValue: false });
    return { sounds, content: [sounds.box, choices.box], choose: choices.choose, lacking: choices.lacking, value: choices.value };
  }

  // Radio buttons; a digit chooses by place, or by the value of a rating.
  function choiceList(question, given, { byValue }) {
    const box = el("fieldset", { class: "choices" }, el("legend", { class: "question" }, question));
    const inputs = given.map(([value, label], i) => {
      const input = el("input", { type: "radio", name: "choice", value });
      input.addEventListener("change", refresh);
      box.append(el("label", { class: "option" }, input, el("span", null, label), el("kbd", { "aria-hidden": "true" }, String(byValue ? value : i + 1))));
      return input;
    });
    const chosen = () => inputs.find((input) => input.checked);
    return {
      box,
      value: () => Number(chosen().value),
      lacking: () => (chosen() ? "" : "Choose an answer."),
      choose: (digit) => {
        const input = byValue ? inputs.find((one) => Number(one.value) === digit) : inputs[digit - 1];
        if (!input) return;
        input.checked = true;
        input.focus();
        refresh();
      },
    };
  }

  // MUSHRA: one slider per sound, of which only that of the playing sound can be moved.
  function many(trial, step, asked) {
    const names = step.order.map((_, i) => LETTERS[i].toUpperCase());
    const list = soundsOf(trial, step, names);
    let rows = [];
    const current = () => {
      for (const row of rows) row.slider.disabled = sounds.current !== row.sound;
      refresh();
    };
    const sounds = new Together([...list, { name: "Reference", key: "r", file: trial.beside }], { changed: () => current() });
    rows = sounds.list.slice(0, -1).map((sound) => {
      const slider = el("input", { type: "range", min: 0, max: 100, step: 1, value: 0, id: "grade-" + sound.key, "aria-label": "Grade of " + sound.name });
      const shown = el("output", { for: slider.id }, "–");
      const row = { sound, slider, shown, set: false };
      const touched = () => {
        row.set = true;
        shown.textContent = slider.value;
        slider.setAttribute("aria-valuetext", slider.value + ", " + band(Number(slider.value)));
        refresh();
      };
      slider.addEventListener("input", touched);
      slider.addEventListener("pointerup", touched);
      slider.addEventListener("keydown", (event) => {
        if (event.key === "Home") touched();
      });
      row.box = el("div", { class: "grade" }, sound.button, slider, shown);
      return row;
    });
    const reference = sounds.list[sounds.list.length - 1];
    const loop = el("input", { type: "checkbox", checked: true });
    loop.addEventListener("change", () => sounds.loop(loop.checked));
    for (const row of rows) row.slider.disabled = true;
    const scale = el("div", { class: "bands", "aria-hidden": "true" }, ...[...test.bands].reverse().map((name) => el("span", null, name)));
    return {
      sounds,
      content: [
        el("p", { class: "question", id: "question" }, asked.question),
        el("div", { class: "sounds" }, reference.button, el("label", { class: "loop" }, loop, " Repeat")),
        waveform(sounds, reference),
        el("div", { class: "grades", role: "group", "aria-labelledby": "question" }, scale, ...rows.map((row) => row.box)),
        el("p", { class: "quiet" }, "Drag on the waveform to repeat a part of it. Play a sound to move its slider", el("span", { class: "keys" }, "; arrow keys move it by 1, Page Up and Page Down by 10"), "."),
      ],
      chosen: (letter) => rows.find((row) => row.sound.key === letter)?.slider.focus(),
      lacking: () => {
        const open = rows.filter((row) => !row.set).map((row) => row.sound.name);
        return open.length ? "Grade " + open.join(", ") + "." : "";
      },
      value: () => rows.map((row) => Number(row.slider.value)),
    };
  }

  function band(grade) {
    return test.bands[Math.min(test.bands.length - 1, Math.floor((100 - grade) / (100 / test.bands.length)))];
  }

  // ---------------------------------------------------------------------------------------------- end

  function end() {
    const data = JSON.stringify(document_());
    const name = "answers-" + state.test + "-" + state.rater + ".json";
    const save = el("a", { class: "go-link", download: name, href: URL.createObjectURL(new Blob([data], { type: "application/json" })) }, "Save the answers");
    const other = el("button", { type: "button", hidden: true }, "Another listener"); // once these answers are safe
    save.addEventListener("click", () => {
      other.hidden = false;
    });
    other.addEventListener("click", async () => {
      forget();
      state = await fresh();
      go("welcome");
    });
    const told = el("p", { class: "lede", role: "status" }, "Thank you, that was all. Save the file and send it to the person who asked you.");
    show("Done", [told, el("div", { class: "foot" }, save, other)], {});
    if (location.protocol.startsWith("http")) send(data, told, other);
  }

  async function send(data, told, other) {
    try {
      const answer = await fetch("answers", { method: "POST", headers: { "Content-Type": "application/json" }, body: data });
      if (!answer.ok) throw new Error(String(answer.status));
      told.textContent = "Thank you, that was all. Your answers were handed in; you can close this page.";
      document.documentElement.dataset.sent = "yes";
      other.hidden = false;
    } catch {
      told.textContent = "Your answers could not be handed in. Save the file and send it to the person who asked you.";
      document.documentElement.dataset.sent = "no";
    }
  }

  // --------------------------------------------------------------------------------------------- keys

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !screen) return;
    const target = event.target;
    const key = event.key.toLowerCase();
    if (key === "enter" && !target.closest("button, a, textarea")) {
      event.preventDefault();
      return advance();
    }
    if (target.closest("textarea")) return;
    if (key === " " && screen.sounds && !target.closest("button, a, input[type=checkbox]")) {
      event.preventDefault();
      screen.sounds.space();
    } else if (/^[1-9]$/.test(key) && screen.choose) {
      screen.choose(Number(key));
    } else if (/^[a-z]$/.test(key) && screen.sounds?.key(key)) {
      screen.chosen?.(key);
    }
  }

  async function start() {
    test = await load("test");
    state = kept();
    if (!state || state.test !== test.test || !test.forms[state.form]) state = await fresh();
    document.addEventListener("keydown", keys);
    go(state.stage === "end" ? "end" : "welcome");
    document.documentElement.dataset.listening = "ready";
  }

  document.addEventListener("DOMContentLoaded", start);
})();

"use strict";
// Players of a run's page: voice prompt, original or question, this run (A) and another run (B), switched at the same
// position. Keys inside a sample: Space plays and pauses, A B R P choose a sound, X swaps A and B, J and K go to the
// next and the previous sample. Aligned sounds run together with all but one muted, so that a switch takes no time.
// Sounds are level-matched: each is lowered to the quietest by its integrated loudness (BS.1770, measured at build).
(function () {
  const { load, el, root } = window.speechEval;
  const DRIFT = 0.04; // seconds that two sounds may be apart before one is put right
  const WIDEST = 20; // dB; a sound quieter than the loudest by more does not lower the others
  const LETTERS = { "Voice prompt": "p", Output: "a", B: "b", Both: "s" };
  const ALONE = ["Voice prompt", "Question"]; // not on the answer's time line
  const players = [];
  const level = { matched: true };

  class Player {
    constructor(sample) {
      this.sample = sample;
      this.id = sample.dataset.sample;
      this.tracks = [];
      this.current = null;
      this.playing = false;
      this.box = el("div", { class: "player" });
      this.choice = el("div", { class: "choice", role: "radiogroup", "aria-label": "Sound of " + this.id });
      this.button = el("button", { type: "button", class: "play", "aria-label": "Play " + this.id }, "▶");
      this.slider = el("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "Position" });
      this.time = el("span", { class: "time" }, "");
      this.gain = el("span", { class: "gain" }, "");
      this.button.addEventListener("click", () => this.toggle());
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      this.box.append(this.button, this.slider, el("span", { class: "state" }, this.time, this.gain), this.choice);
      for (const clip of sample.querySelectorAll(".clip:not(.none)")) {
        const audio = clip.querySelector("audio");
        this.add(clip.dataset.label, audio, Number(clip.dataset.seconds), clip.dataset.loudness);
        clip.classList.add("absorbed");
      }
      if (this.tracks.length) this.attach();
      this.talk = sample.querySelector(".talk");
      this.talk?.querySelector(".lanes").addEventListener("click", (event) => {
        const drawn = event.currentTarget.getBoundingClientRect();
        this.seek((Number(this.talk.dataset.seconds) * (event.clientX - drawn.left)) / drawn.width);
      });
    }

    // A conversation is heard whole at first.
    first() {
      return ["Both", "Output"].map((label) => this.tracks.find((track) => track.label === label)).find(Boolean) || this.tracks[0];
    }

    // The line of the drawing that says where the sound is.
    point(time) {
      const line = this.talk?.querySelector(".now");
      if (!line) return;
      const place = Math.min(100, (100 * time) / Number(this.talk.dataset.seconds)) + "%";
      line.setAttribute("x1", place);
      line.setAttribute("x2", place);
    }

    attach() {
      if (this.box.isConnected) return;
      const clips = this.sample.querySelector(".clips");
      if (clips) clips.append(this.box);
      else this.sample.append(el("div", { class: "clips" }, this.box));
      this.select(this.first());
    }

    add(label, audio, seconds, loudness) {
      audio.dataset.together = "";
      audio.controls = false;
      const letter = LETTERS[label] || "r";
      const text = label !== "Output" ? label : this.sample.querySelector(".talk") ? "Agent" : "A";
      const button = el("button", { type: "button", role: "radio", "aria-checked": "false", "data-letter": letter,
        title: (label === "Output" ? "this run" : label === "B" ? "the other run" : label) + " (key " + letter.toUpperCase() + ")" }, text);
      const known = loudness === null || loudness === "" ? null : Number(loudness);
      const track = { label, audio, seconds, letter, button, loudness: known, aligned: !ALONE.includes(label) };
      button.addEventListener("click", () => this.select(track));
      audio.addEventListener("ended", () => {
        if (this.current === track) this.pause();
      });
      audio.addEventListener("timeupdate", () => this.show());
      audio.addEventListener("loadedmetadata", () => this.show());
      audio.addEventListener("error", () => {
        button.disabled = true;
        button.title = "cannot be played";
      });
      this.tracks.push(track);
      this.choice.append(button);
      this.match();
      return track;
    }

    // Decibels by which each sound is lowered to be as loud as the quietest.
    match() {
      const known = this.tracks.map((track) => track.loudness).filter((loudness) => loudness !== null);
      const heard = known.filter((loudness) => loudness >= Math.max(...known) - WIDEST);
      for (const track of this.tracks) {
        track.gain = level.matched && track.loudness !== null ? Math.min(0, Math.min(...heard) - track.loudness) : 0;
        track.audio.volume = 10 ** (track.gain / 20);
      }
      this.show();
    }

    setOther(answer) {
      const old = this.tracks.find((track) => track.label === "B");
      if (old) {
        if (this.current === old) this.select(this.tracks[0]);
        old.audio.pause();
        old.audio.remove();
        old.button.remove();
        this.tracks = this.tracks.filter((track) => track !== old);
      }
      if (answer && answer.src) {
        const audio = el("audio", { preload: this.touched ? "auto" : "none", src: root + answer.src });
        this.box.append(audio);
        this.add("B", audio, 0, answer.loudness);
        this.attach();
      }
      this.match();
    }

    // All sounds that run together with the current one.
    together() {
      return this.current.aligned ? this.tracks.filter((track) => track.aligned) : [this.current];
    }

    warm() {
      this.touched = true;
      for (const track of this.tracks) if (track.audio.preload !== "auto") track.audio.preload = "auto";
    }

    select(track) {
      if (!track || track === this.current || track.button.disabled) return;
      const before = this.current;
      this.current = track;
      for (const one of this.tracks) {
        one.button.setAttribute("aria-checked", String(one === track));
        one.button.tabIndex = one === track ? 0 : -1;
      }
      const kept = before && before.aligned && track.aligned;
      if (before && !kept) before.audio.pause();
      if (kept && Math.abs(track.audio.currentTime - before.audio.currentTime) > DRIFT) {
        track.audio.currentTime = before.audio.currentTime;
      }
      if (this.playing) this.start(kept ? before.audio.currentTime : 0);
      this.show();
    }

    start(at) {
      const together = this.together();
      for (const track of this.tracks) {
        track.audio.muted = track !== this.current;
        if (!together.includes(track)) track.audio.pause();
      }
      for (const track of together) {
        if (Math.abs(track.audio.currentTime - at) > DRIFT) track.audio.currentTime = at;
        const past = track !== this.current && track.audio.duration && at >= track.audio.duration;
        if (!past && track.audio.paused) track.audio.play().catch(() => {});
      }
    }

    toggle() {
      if (this.playing) return this.pause();
      for (const other of players) if (other !== this) other.pause();
      this.warm();
      this.playing = true;
      const audio = this.current.audio;
      this.start(audio.duration && audio.currentTime >= audio.duration - 0.01 ? 0 : audio.currentTime);
      this.show();
    }

    pause() {
      this.playing = false;
      for (const track of this.tracks) track.audio.pause();
      this.show();
    }

    seek(to) {
      this.warm();
      for (const track of this.together()) track.audio.currentTime = to;
      this.show();
    }

    show() {
      if (!this.current) return;
      const audio = this.current.audio;
      const seconds = Number.isFinite(audio.duration) ? audio.duration : this.current.seconds;
      this.slider.max = seconds || 1;
      this.slider.value = audio.currentTime;
      this.point(audio.currentTime);
      this.slider.setAttribute("aria-valuetext", audio.currentTime.toFixed(1) + " of " + seconds.toFixed(1) + " seconds");
      this.time.textContent = audio.currentTime.toFixed(1) + " / " + seconds.toFixed(1) + " s";
      this.gain.textContent = this.current.gain ? this.current.gain.toFixed(1).replace("-", "−") + " dB" : "";
      this.gain.title = this.current.loudness === null ? "" : this.current.loudness + " LUFS";
      this.button.textContent = this.playing ? "❚❚" : "▶";
      this.button.setAttribute("aria-label", (this.playing ? "Pause " : "Play ") + this.id);
    }

    letter(name) {
      this.select(this.tracks.find((track) => track.letter === name));
    }

    swap() {
      this.letter(this.current.letter === "b" ? "a" : "b");
    }
  }

  function pieces(list) {
    return list.flatMap(([kind, reference, hypothesis]) => {
      if (kind === "equal") return [reference, " "];
      if (kind === "delete") return [el("del", null, reference), " "];
      if (kind === "insert") return [el("ins", null, hypothesis), " "];
      return [el("span", { class: "sub" }, el("del", null, reference), el("span", { class: "to", "aria-label": "heard as" }, "→"),
        el("ins", null, hypothesis)), " "];
    });
  }

  function showOther(section, own, data) {
    const answers = data ? data.tasks[section.dataset.task] || {} : {};
    for (const player of own) {
      const answer = data && Object.hasOwn(answers, player.id) ? answers[player.id] : null;
      player.sample.querySelector(".other")?.remove();
      player.setOther(answer);
      if (!data || (answer && answer.src && !answer.text && !answer.pieces.length)) continue; // sound only
      const language = player.sample.querySelector("[lang]")?.getAttribute("lang");
      const body = !answer ? [el("span", { class: "muted" }, "that run shows no answer to this sample")]
        : answer.pieces.length ? pieces(answer.pieces) : [answer.text || el("span", { class: "muted" }, answer.problem || "no text")];
      const box = el("p", { class: "other" }, el("span", { class: "other-name" }, "B " + data.model), el("span", { lang: language }, body));
      (player.sample.querySelector(".diff") || player.sample.querySelector(".sample-head")).after(box);
    }
  }

  // A switch of the level matching, one per section of the page, all of which say the same.
  function matching() {
    const box = el("input", { type: "checkbox", "data-level": true });
    box.checked = level.matched;
    box.addEventListener("change", () => {
      level.matched = box.checked;
      for (const other of document.querySelectorAll("[data-level]")) other.checked = box.checked;
      for (const player of players) player.match();
    });
    return el("label", { class: "check", title: "lower each sound to the loudness of the quietest (ITU-R BS.1770)" }, box,
      " Match loudness");
  }

  async function chooser(section, own) {
    const place = section.querySelector("[data-listen]");
    if (!place) return null;
    const here = document.querySelector("[data-run]").dataset.run;
    const board = await load("boards/" + section.dataset.board).catch(() => null);
    const others = board ? board.rows.filter((row) => row.run !== here) : [];
    const hint = "Keys: Space plays, A B R P S choose, X swaps A and B, J K next and previous";
    const state = el("span", { class: "muted", "aria-live": "polite" }, hint);
    if (own.some((player) => player.tracks.length)) place.append(matching(), state);
    place.hidden = !place.children.length && !others.length;
    if (!others.length) return null;
    const select = el("select", null, el("option", { value: "" }, "no other run"),
      others.map((row) => el("option", { value: row.run }, row.model + (row.seed ? " · seed " + row.seed : ""))));
    place.prepend(el("label", null, "Compare with (B) ", select));
    const choose = async (run) => {
      if (run && !others.some((row) => row.run === run)) return;
      select.value = run;
      try {
        showOther(section, own, run ? await load("samples/" + run) : null);
        state.textContent = hint;
      } catch (problem) {
        state.textContent = problem.message;
      }
    };
    select.addEventListener("change", () => {
      choose(select.value);
      remember(select.value);
    });
    return choose;
  }

  function remember(run) {
    const anchor = location.hash.slice(1).split("?")[0];
    history.replaceState(null, "", "#" + anchor + (run ? "?b=" + encodeURIComponent(run) : ""));
  }

  function focused() {
    const sample = document.activeElement?.closest?.("[data-sample]");
    return players.find((player) => player.sample === sample);
  }

  function walk(step) {
    const index = players.indexOf(focused());
    const next = players[Math.min(players.length - 1, Math.max(0, index + step))];
    if (!next) return;
    next.sample.focus();
    next.sample.scrollIntoView({ block: "nearest" });
  }

  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest("select, textarea, input:not([type=range]), summary")) return;
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") return walk(key === "j" ? 1 : -1);
    const player = focused();
    if (!player || !player.current) return;
    if (key === " " && !target.closest("button")) {
      event.preventDefault();
      player.toggle();
    } else if (target.getAttribute("role") === "radio" && (key === "arrowright" || key === "arrowleft")) {
      event.preventDefault();
      const index = player.tracks.indexOf(player.current) + (key === "arrowright" ? 1 : -1);
      player.select(player.tracks[(index + player.tracks.length) % player.tracks.length]);
      player.current.button.focus();
    } else if ("abrps".includes(key)) {
      player.letter(key);
    } else if (key === "x") {
      player.swap();
    }
  }

  async function start() {
    const choosers = [];
    for (const section of document.querySelectorAll("section[data-task]")) {
      const own = [...section.querySelectorAll("[data-sample]")].map((sample) => new Player(sample));
      players.push(...own);
      choosers.push(chooser(section, own));
    }
    document.addEventListener("keydown", keys);
    const [anchor, query] = location.hash.slice(1).split("?");
    const other = new URLSearchParams(query || "").get("b");
    const ready = (await Promise.all(choosers)).filter(Boolean);
    if (other) await Promise.all(ready.map((choose) => choose(other)));
    const sample = anchor && document.getElementById(anchor);
    if (sample) {
      sample.scrollIntoView();
      if (sample.matches("[data-sample]")) sample.focus();
    }
    document.documentElement.dataset.players = "ready";
  }

  document.addEventListener("DOMContentLoaded", start);
})();

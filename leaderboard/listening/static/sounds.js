"use strict";
// The sounds of one trial: one plays at a time.
window.listening = window.listening || {};
window.listening.Sounds = class {
  // `list` holds { name, key, file, note }; `changed` is called after every start, end and failure.
  constructor(list, { inPlace = false, changed = () => {} } = {}) {
    const { el } = window.speechEval;
    this.inPlace = inPlace;
    this.changed = changed;
    this.current = null;
    this.plays = 0;
    this.box = el("div", { class: "sounds", role: "group", "aria-label": "Sounds" });
    this.list = list.map((given) => {
      const sound = this.made(given);
      sound.button = el("button", { type: "button", class: "sound", "data-key": given.key });
      sound.button.addEventListener("click", () => this.toggle(sound));
      this.box.append(sound.button);
      return sound;
    });
    this.show();
  }

  made(given) {
    const audio = window.speechEval.el("audio", { src: given.file, preload: "auto" });
    const sound = { ...given, audio, begun: false, ended: false, failed: false };
    const now = (change) => () => {
      Object.assign(sound, change);
      this.show();
    };
    audio.addEventListener("playing", now({ begun: true }));
    audio.addEventListener("ended", now({ ended: true }));
    audio.addEventListener("timeupdate", () => this.drawn(sound));
    audio.addEventListener("error", now({ failed: true }));
    this.box.append(audio);
    return sound;
  }

  playing(sound) {
    return !sound.audio.paused && !sound.audio.ended;
  }

  toggle(sound) {
    if (this.playing(sound)) sound.audio.pause();
    else this.play(sound);
    this.show();
  }

  play(sound) {
    for (const other of this.list) if (other !== sound) other.audio.pause();
    sound.audio.currentTime = 0;
    this.current = sound;
    this.plays += 1;
    sound.begun = false;
    sound.audio.play().catch((problem) => {
      if (problem.name !== "AbortError") sound.failed = true;
      this.show();
    });
    this.show();
  }

  // The current sound, else the first that was not heard yet.
  space() {
    const next = this.list.find((sound) => !sound.ended) || this.list[0];
    this.toggle(this.current && this.playing(this.current) ? this.current : this.inPlace && this.current ? this.current : next);
  }

  key(letter) {
    const sound = this.list.find((one) => one.key === letter);
    if (sound) this.toggle(sound);
    return Boolean(sound);
  }

  // The names of the sounds that were not heard: to the end, or where sounds are compared in place, at all.
  unheard() {
    return this.list.filter((sound) => !(this.inPlace ? sound.started : sound.ended) && !sound.failed).map((sound) => sound.name);
  }

  drawn(sound) {
    sound.button.style.setProperty("--share", String(this.share(sound)));
  }

  share(sound) {
    return sound.audio.duration ? sound.audio.currentTime / sound.audio.duration : 0;
  }

  show() {
    const { el } = window.speechEval;
    for (const sound of this.list) {
      const on = this.playing(sound);
      const state = sound.failed ? "cannot be played" : on && sound.begun ? "playing" : sound.ended ? "heard" : "";
      sound.button.replaceChildren(...[
        el("span", { class: "sign", "aria-hidden": "true" }, on ? "❚❚" : "▶"),
        el("span", { class: "sound-name" }, sound.name),
        sound.name === sound.key.toUpperCase() ? null : el("kbd", { "aria-hidden": "true" }, sound.key.toUpperCase()),
        el("span", { class: "sound-state" }, state),
      ].filter(Boolean));
      sound.button.setAttribute("aria-label", (on ? "Pause " : "Play ") + sound.name + (state ? ", " + state : ""));
      sound.button.setAttribute("aria-keyshortcuts", sound.key);
      sound.button.classList.toggle("on", sound === this.current);
      sound.button.disabled = sound.failed;
      this.drawn(sound);
    }
    this.changed();
  }

  stop() {
    for (const sound of this.list) {
      sound.audio.pause();
      sound.audio.removeAttribute("src");
      sound.audio.load();
    }
  }
};

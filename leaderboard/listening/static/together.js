"use strict";
// Sounds that are compared in place: all play at once on one clock, and one is heard. Going to another sound, or around
// a loop, keeps all of them at the same sample. The loop is a region that is dragged on the waveform of the reference.
(function () {
  const { Sounds } = window.listening;
  const SHORTEST = 0.5; // seconds of a region
  const FADE = 0.005; // seconds in which one sound gives way to another
  let context; // the page's one audio clock

  // The samples of a data script; a page opened from a disk may load a script, and no other file.
  async function decoded(file) {
    const { load, forget } = window.speechEval;
    const text = atob((await load(file)).wav);
    forget(file);
    return context.decodeAudioData(Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer);
  }

  window.listening.Together = class extends Sounds {
    constructor(list, { changed }) {
      context = context || new AudioContext();
      super(list, { inPlace: true, changed });
      this.looping = true;
      this.at = 0; // seconds, where it stands or where the sources started
      this.since = null; // time of the clock at which they started; null while nothing plays
      this.sources = [];
      this.ready = this.prepare();
    }

    made(given) {
      return { ...given, gain: context.createGain(), started: false, begun: false, ended: false, failed: false };
    }

    async prepare() {
      const found = await Promise.allSettled(this.list.map((sound) => decoded(sound.file)));
      this.seconds = Math.max(...found.map((one) => one.value?.duration || 0));
      this.list.forEach((sound, i) => {
        const own = found[i].value;
        sound.failed = !own;
        sound.gain.gain.value = 0;
        sound.gain.connect(context.destination);
        if (!own) return;
        // equally long, or a shorter one would be around the loop earlier
        sound.buffer = context.createBuffer(1, Math.round(this.seconds * context.sampleRate), context.sampleRate);
        sound.buffer.copyToChannel(own.getChannelData(0), 0);
      });
      this.region = [0, this.seconds];
      this.show();
    }

    playing(sound) {
      return this.since !== null && sound === this.current;
    }

    position() {
      if (this.since === null) return this.at;
      const [start, end] = this.region;
      const now = this.at + Math.max(0, context.currentTime - this.since);
      return this.looping && now >= end ? start + ((now - start) % (end - start)) : Math.min(now, this.seconds);
    }

    play(sound) {
      this.current = sound;
      this.plays += 1;
      sound.begun = false;
      this.show();
      context.resume();
      this.ready.then(() => {
        if (sound !== this.current || sound.failed) return;
        if (this.since === null) this.start();
        this.list.forEach((one) => one.gain.gain.setTargetAtTime(one === sound ? 1 : 0, context.currentTime, FADE / 3));
        sound.started = sound.begun = true;
        this.show();
      });
    }

    // All sounds from one place at one time of the clock.
    start() {
      this.halt();
      const [start, end] = this.region;
      if (this.looping ? this.at < start || this.at >= end : this.at >= this.seconds - 0.01) this.at = this.looping ? start : 0;
      const when = context.currentTime + 0.02;
      const sounds = this.list.filter((sound) => sound.buffer);
      this.sources = sounds.map((sound) => {
        const source = context.createBufferSource();
        Object.assign(source, { buffer: sound.buffer, loop: this.looping, loopStart: start, loopEnd: end });
        source.connect(sound.gain);
        source.start(when, this.at);
        return source;
      });
      this.sources[0].onended = () => this.done();
      this.since = when;
      this.follow();
    }

    halt() {
      for (const source of this.sources) {
        source.onended = null;
        source.stop();
      }
      this.sources = [];
    }

    done() {
      Object.assign(this, { sources: [], at: 0, since: null });
      if (this.current) this.current.ended = true;
      this.show();
    }

    pause() {
      this.at = this.position();
      this.since = null;
      this.halt();
    }

    toggle(sound) {
      if (this.playing(sound)) this.pause();
      else this.play(sound);
      this.show();
    }

    loop(on) {
      this.again(() => {
        this.looping = on;
      });
    }

    // Loop from `start` to `end` seconds, at least SHORTEST long.
    choose(start, end) {
      const low = Math.max(0, Math.min(start, end, this.seconds - SHORTEST));
      const high = Math.min(this.seconds, Math.max(start, end, low + SHORTEST));
      this.again(() => {
        this.region = [low, high];
      });
    }

    again(change) {
      this.at = this.position();
      const on = this.since !== null;
      change();
      if (on) this.start();
      this.show();
    }

    follow() {
      if (this.following || this.since === null) return;
      this.following = true;
      requestAnimationFrame(() => {
        this.following = false;
        this.drawn(this.current);
        this.moved?.(this.share());
        this.follow();
      });
    }

    share(sound = this.current) {
      return sound === this.current && this.seconds ? this.position() / this.seconds : 0;
    }

    stop() {
      this.pause();
      for (const sound of this.list) sound.gain.disconnect();
    }
  };

  // The waveform of `sound` among `sounds`, on which a region is dragged; two sliders do the same by keyboard.
  window.listening.waveform = function (sounds, sound) {
    const { el } = window.speechEval;
    const canvas = el("canvas", { class: "wave-shape", width: 1200, height: 128, "aria-hidden": "true" });
    const region = el("div", { class: "wave-region" });
    const head = el("div", { class: "wave-head" });
    const wave = el("div", { class: "wave" }, canvas, region, head);
    const slider = (name) => el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0, "aria-label": name, disabled: true });
    const [from, to] = [slider("Loop from"), slider("Loop to")];
    const told = el("output", { class: "quiet" });
    const whole = el("button", { type: "button" }, "Whole sound");

    function show() {
      const [start, end] = sounds.region;
      region.style.left = (100 * start) / sounds.seconds + "%";
      region.style.width = (100 * (end - start)) / sounds.seconds + "%";
      for (const [input, value] of [[from, start], [to, end]]) {
        input.value = value;
        input.setAttribute("aria-valuetext", value.toFixed(2) + " seconds");
      }
      told.textContent = start.toFixed(2) + " to " + end.toFixed(2) + " s";
    }

    function choose(start, end) {
      sounds.choose(start, end);
      show();
    }

    from.addEventListener("input", () => choose(Math.min(Number(from.value), sounds.region[1] - SHORTEST), sounds.region[1]));
    to.addEventListener("input", () => choose(sounds.region[0], Math.max(Number(to.value), sounds.region[0] + SHORTEST)));
    whole.addEventListener("click", () => choose(0, sounds.seconds));

    const secondsAt = (event) => {
      const box = wave.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * sounds.seconds;
    };
    let dragged = null; // where the drag began
    wave.addEventListener("pointerdown", (event) => {
      if (!sounds.seconds) return;
      dragged = secondsAt(event);
      wave.setPointerCapture(event.pointerId);
    });
    wave.addEventListener("pointermove", (event) => {
      if (dragged === null) return;
      const now = secondsAt(event);
      region.style.left = (100 * Math.min(dragged, now)) / sounds.seconds + "%";
      region.style.width = (100 * Math.abs(now - dragged)) / sounds.seconds + "%";
    });
    wave.addEventListener("pointerup", (event) => {
      if (dragged === null) return;
      choose(dragged, secondsAt(event));
      dragged = null;
    });
    wave.addEventListener("pointercancel", () => {
      dragged = null;
      show();
    });

    function draw() {
      const samples = sound.buffer.getChannelData(0);
      const pen = canvas.getContext("2d");
      const [width, middle] = [canvas.width, canvas.height / 2];
      const most = samples.reduce((found, one) => Math.max(found, Math.abs(one)), 1e-6);
      pen.clearRect(0, 0, width, canvas.height);
      pen.fillStyle = getComputedStyle(wave).color;
      for (let x = 0; x < width; x += 3) {
        const part = samples.subarray(Math.floor((x * samples.length) / width), Math.ceil(((x + 3) * samples.length) / width));
        const high = (middle - 4) * Math.max(0.01, part.reduce((found, one) => Math.max(found, Math.abs(one)), 0) / most);
        pen.fillRect(x, middle - high, 2, 2 * high);
      }
    }

    sounds.moved = (share) => {
      head.style.left = 100 * share + "%";
    };
    sounds.ready.then(() => {
      for (const input of [from, to]) {
        input.max = sounds.seconds;
        input.disabled = false;
      }
      show();
      if (!sound.buffer) return;
      draw();
      document.addEventListener("speech-eval-theme", () => wave.isConnected && draw());
    });
    return el("div", { class: "loop-region", role: "group", "aria-label": "Loop" }, wave,
      el("div", { class: "loop-ends" }, el("label", null, el("span", { class: "quiet" }, "From"), from), el("label", null, el("span", { class: "quiet" }, "To"), to), whole, told));
  };
})();

"use strict";
// Theme, printing, and data files that pages load when they need them. Every page reads the same without it.
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
      button.setAttribute("aria-label", "Switch to " + (isDark() ? "light" : "dark") + " colors");
      document.dispatchEvent(new Event("speech-eval-theme"));
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

  // A page opened from a disk may not read a JSON file, but it may load a script that registers the object.
  const waiting = new Map();

  function register(name, data) {
    waiting.get(name)?.resolve(data);
  }

  function load(name) {
    let entry = waiting.get(name);
    if (!entry) {
      entry = {};
      entry.promise = new Promise((resolve, reject) => {
        entry.resolve = resolve;
        const script = document.createElement("script");
        script.src = page.dataset.root + "data/" + name + ".js";
        script.onload = () => script.remove();
        script.onerror = () => reject(new Error("data/" + name + ".js could not be loaded"));
        document.head.append(script);
      });
      waiting.set(name, entry);
    }
    return entry.promise;
  }

  // Large data that is used once.
  function forget(name) {
    waiting.delete(name);
  }

  // An element with attributes and children; texts become text nodes, never markup.
  function el(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return made;
  }

  function number(value, places) {
    if (value === null || value === undefined) return "—";
    let text = value.toFixed(places);
    const doubled = value * 2 * 10 ** places;
    // a half goes to the even digit, as in every other report of the harness
    if (doubled % 2 && Number.isInteger(doubled) && Number.isInteger(value * 2 ** (places + 1))) {
      text = (2 * Math.round(doubled / 4) / 10 ** places).toFixed(places);
    }
    return Number(text) === 0 ? text.replace("-", "") : text;
  }

  function interval(estimate, places) {
    if (estimate.value === null || (estimate.low === null && estimate.high === null)) return "";
    const low = estimate.low === null ? "-∞" : number(estimate.low, places);
    const high = estimate.high === null ? "∞" : number(estimate.high, places);
    return "[" + low + ", " + high + "]";
  }

  // Calls back once, when the element comes near the screen.
  function whenNear(element, action) {
    const watcher = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watcher.disconnect();
        action();
      }
    }, { rootMargin: "400px" });
    watcher.observe(element);
  }

  window.speechEval = { register, load, forget, el, number, interval, whenNear, isDark, root: page.dataset.root };

  // One native player at a time.
  function solo(event) {
    if (event.target.dataset.together !== undefined) return;
    for (const player of document.querySelectorAll("audio:not([data-together])")) if (player !== event.target) player.pause();
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-theme-toggle]").forEach(themeButton);
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

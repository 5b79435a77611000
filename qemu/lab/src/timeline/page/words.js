"use strict";
// What things are called, what they mean, and how numbers are written.

// The ten points of a descriptor's way, with the side that stamps them.
const WAY = [
  ["written", "driver", "doorbell", "The driver writes DMACOUNT: the descriptors behind it are valid now."],
  ["doorbell", "device", "doorbell", "The device has heard that write."],
  ["fetch", "device", "fetch", "The engine has read the 64-byte descriptor."],
  ["translate", "device", "translate", "Its addresses became ranges of memory that the device may use."],
  ["copy", "device", "copy", "Its bytes are where they belong."],
  ["complete", "device", "complete", "The completion word is stored (only where the descriptor asked for it)."],
  ["msix", "device", "msix", "The interrupt message is sent. One message announces all descriptors before it."],
  ["isr", "driver", "isr", "The driver's service routine: drawn from its request for DPCs to its end, which is its stamp."],
  ["queue", "driver", "queue", "DPCs were put on processors' queues."],
  ["dpc", "driver", "dpc", "A DPC has run and reported the last completed descriptor: the program knows."],
];
const SPAN_WORDS = {
  doorbell: "written until heard", wait: "behind earlier descriptors", fetch: "until read", translate: "", copy: "", execute: "stages 2 to 5 in one",
  complete: "until the word is stored", msix: "until the message is sent", isr: "until the service routine asked for DPCs, or ended", queue: "until the DPC was asked for: 0 where that was inside the service routine",
  dpc: "until the DPC reported it", total: "first point to last",
};
const SPANS = Object.keys(SPAN_WORDS);
const MARKS = ["ok", "held", "faulted", "error"];
const MARK_WORDS = ["", "held back, as specified", "changed by a fault rule", "failed"];
const EXECUTED = 9, LOST = 10;

function duration(ns) {
  const size = Math.abs(ns);
  if (size < 1e3) return `${Math.round(ns)} ns`;
  if (size < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
  if (size < 1e9) return `${(ns / 1e6).toFixed(2)} ms`;
  return `${(ns / 1e9).toFixed(3)} s`;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0, size = Number(n);
  while (size >= 1024 && unit < 3) { size /= 1024; unit += 1; }
  return `${Number.isInteger(size) ? size : size.toFixed(1)} ${units[unit]}`;
}

const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// An element; text is never read as HTML.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") made.style.cssText = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const dot = (stage) => element("i", { class: "dot", style: `background: var(--${stage})` });

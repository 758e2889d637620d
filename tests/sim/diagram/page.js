"use strict";
// What is shown.
for (const box of document.querySelectorAll("[data-hides]")) {
  const show = () => document.body.classList.toggle(box.dataset.hides, !box.checked);
  box.addEventListener("change", show);
  show();
}

// Stretching: all that stands in time, at a multiple of where it stood. What the middle of the window shows stays there.
const picture = document.getElementById("picture");
const height = Number(picture.getAttribute("height"));
const inTime = ["y", "y1", "y2", "cy", "height"];
const marks = Array.from(document.getElementById("marks").children, mark => ({
  mark, at: inTime.filter(name => mark.hasAttribute(name)).map(name => [name, Number(mark.getAttribute(name))]),
}));
let stretched = 1;
document.getElementById("stretch").addEventListener("input", event => {
  const by = 2 ** Number(event.target.value);
  const top = picture.getBoundingClientRect().top;
  const middle = (innerHeight / 2 - top) / stretched;
  for (const { mark, at } of marks) {
    for (const [name, value] of at) mark.setAttribute(name, (value * by).toFixed(1));
  }
  picture.setAttribute("height", height * by);
  stretched = by;
  scrollBy(0, picture.getBoundingClientRect().top + middle * by - innerHeight / 2);
});

// What is pointed at, or nearly: arrows are thin.
const told = document.getElementById("told");
const near = [0, -2, 2, -4, 4];
let pointed = null;
document.addEventListener("mousemove", event => {
  const at = near.map(by => document.elementFromPoint(event.clientX, event.clientY + by));
  const mark = at.find(mark => mark?.dataset?.told) ?? null;
  if (mark !== pointed) {
    pointed?.classList.remove("pointed");
    mark?.classList.add("pointed");
    pointed = mark;
    told.textContent = mark?.dataset.told ?? "";
    told.style.display = mark ? "block" : "none";
  }
  if (mark) {
    told.style.left = Math.min(event.clientX + 14, innerWidth - told.offsetWidth - 8) + "px";
    told.style.top = Math.min(event.clientY + 14, innerHeight - told.offsetHeight - 8) + "px";
  }
});

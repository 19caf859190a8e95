"use strict";
// What moves on a page: the words of the trial that is pointed at, the threshold, and the pictures
// that a link leads to. Everything is readable without it.
(() => {
  const byId = (id) => document.getElementById(id);

  // The trial under the pointer, in words below the plot; a tap does the same.
  const readout = byId("readout");
  if (readout) {
    const tell = (event) => {
      const title = event.target.closest(".pt")?.querySelector("title");
      if (title && title.textContent.startsWith("Trial")) readout.textContent = title.textContent;
    };
    for (const kind of ["pointerover", "click"]) document.addEventListener(kind, tell);
  }

  // A link into folded pictures unfolds them.
  const unfold = () => {
    const target = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", unfold);
  unfold();

  // The threshold.
  const slide = byId("slide");
  const data = byId("threshold-data");
  if (!slide || !data) return;
  const { curves, frame } = JSON.parse(data.textContent);
  const choice = byId("label");
  const x = (value) => frame.left + value * (frame.right - frame.left);
  const y = (value) => frame.bottom + value * (frame.top - frame.bottom);
  const percent = (value) => (value === null ? "nothing is said" : (100 * value).toFixed(2) + " %");
  const draw = (kind, values) => {
    let path = "";
    values.forEach((value, i) => {
      if (value !== null) path += (path ? "L" : "M") + x(i / 100).toFixed(1) + " " + y(value).toFixed(1);
    });
    byId("curve-" + kind).firstElementChild.setAttribute("d", path || "M0 0");
  };
  const move = () => {
    const at = Number(slide.value);
    const curve = curves[choice.selectedIndex];
    byId("at").value = (at / 100).toFixed(2);
    byId("mark").setAttribute("d", `M${x(at / 100)} ${frame.top}V${frame.bottom}`);
    for (const kind of ["precision", "recall"]) {
      const value = curve[kind][at];
      byId(kind).value = percent(value);
      const mark = byId("mark-" + kind);
      mark.style.visibility = value === null ? "hidden" : "visible";
      mark.setAttribute("cx", x(at / 100));
      mark.setAttribute("cy", y(value ?? 0));
    }
  };
  slide.addEventListener("input", move);
  choice.addEventListener("change", () => {
    const curve = curves[choice.selectedIndex];
    draw("precision", curve.precision);
    draw("recall", curve.recall);
    move();
  });
})();

"use strict";
// Three slices through volumes that are in the page; nothing is asked of anywhere else.
(async () => {
  const el = (id) => document.getElementById(id);
  const facts = JSON.parse(el("facts").textContent);
  const views = [
    { canvas: el("sagittal"), normal: 0, right: 1, up: 2 },
    { canvas: el("coronal"), normal: 1, right: 0, up: 2 },
    { canvas: el("axial"), normal: 2, right: 0, up: 1 },
  ];
  const DENSITY = 2; // pixels per mm

  async function unpack(name, Type) {
    const text = atob(el("data-" + name).textContent);
    const bytes = Uint8Array.from(text, (sign) => sign.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Type(await new Response(stream).arrayBuffer());
  }

  let background, statistic, survives, atlases;
  try {
    [background, statistic, survives] = await Promise.all([
      unpack("background", Uint8Array), unpack("statistic", Int16Array), unpack("survives", Uint8Array),
    ]);
    atlases = await Promise.all(facts.atlases.map((_, index) => unpack("atlas" + index, Uint16Array)));
  } catch (error) {
    el("failed").textContent = "The volumes could not be unpacked. A browser of 2023 or later is needed. (" + error + ")";
    return;
  }

  const { grid, backgroundGrid, window: box, colours, largest, lower, upper } = facts;
  const unit = largest / facts.levels;
  const at = facts.start.slice();
  const state = { map: 0, least: 0, opacity: 0.95 };

  // index of a place along an axis of a grid, -1 outside
  function indexOf(of, axis, mm) {
    const index = Math.round((mm - of.origin[axis]) / of.step[axis]);
    return index >= 0 && index < of.shape[axis] ? index : -1;
  }
  const flat = (of, i, j, k) => (i * of.shape[1] + j) * of.shape[2] + k;
  function voxelAt(of, place) {
    const index = [0, 1, 2].map((axis) => indexOf(of, axis, place[axis]));
    return index.includes(-1) ? -1 : flat(of, ...index);
  }
  const isShown = (voxel) => state.map === 0 || (survives[voxel] >> (state.map - 1)) & 1;

  function draw(view) {
    const { canvas, normal, right, up } = view;
    const [low, high] = [box[right][0], box[up][1]];
    const width = Math.round((box[right][1] - low) * DENSITY), height = Math.round((high - box[up][0]) * DENSITY);
    if (canvas.width !== width) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d"), picture = context.createImageData(width, height), out = picture.data;
    const strides = (of) => [of.shape[1] * of.shape[2], of.shape[2], 1];
    const mine = strides(grid), theirs = strides(backgroundGrid);
    const here = indexOf(grid, normal, at[normal]), behind = indexOf(backgroundGrid, normal, at[normal]);
    const columns = Array.from({ length: width }, (_, x) => low + (x + 0.5) / DENSITY);
    const own = columns.map((mm) => indexOf(grid, right, mm));
    const least = state.least / unit;
    const edge = (of, axis, mm) => {
      const exact = (mm - of.origin[axis]) / of.step[axis], first = Math.floor(exact);
      return first >= 0 && first < of.shape[axis] - 1 ? [first, exact - first] : [-1, 0];
    };
    const near = columns.map((mm) => edge(backgroundGrid, right, mm));
    for (let y = 0; y < height; y++) {
      const mm = high - (y + 0.5) / DENSITY, row = indexOf(grid, up, mm), [rowBehind, share] = edge(backgroundGrid, up, mm);
      for (let x = 0; x < width; x++) {
        let grey = 0;
        const [column, part] = near[x];
        if (behind >= 0 && rowBehind >= 0 && column >= 0) {
          const base = behind * theirs[normal] + rowBehind * theirs[up] + column * theirs[right];
          const below = background[base] * (1 - part) + background[base + theirs[right]] * part;
          const above = background[base + theirs[up]] * (1 - part) + background[base + theirs[up] + theirs[right]] * part;
          grey = (below * (1 - share) + above * share) * 0.68;
        }
        const pixel = 4 * (y * width + x);
        let r = 12 + grey * 0.94, g = 13 + grey * 0.94, b = 15 + grey * 0.95;
        if (here >= 0 && row >= 0 && own[x] >= 0) {
          const voxel = here * mine[normal] + row * mine[up] + own[x] * mine[right], value = statistic[voxel];
          if (value && Math.abs(value) >= least && isShown(voxel)) {
            const shade = 3 * Math.min(255, Math.max(0, Math.round((value / facts.levels + 1) * 127.5)));
            r += (colours[shade] - r) * state.opacity;
            g += (colours[shade + 1] - g) * state.opacity;
            b += (colours[shade + 2] - b) * state.opacity;
          }
        }
        out[pixel] = r; out[pixel + 1] = g; out[pixel + 2] = b; out[pixel + 3] = 255;
      }
    }
    context.putImageData(picture, 0, 0);
    cross(context, (at[right] - low) * DENSITY, (high - at[up]) * DENSITY, width, height);
  }

  function cross(context, x, y, width, height) {
    context.strokeStyle = "rgba(139, 233, 190, .8)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - 6, y], [x + 6, y, width, y], [x, 0, x, y - 6], [x, y + 6, x, height]]) {
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }

  const minus = (text) => text.replace("-", "\u2212");
  function tell() {
    const voxel = voxelAt(grid, at), readout = el("readout");
    readout.textContent = "";
    const place = document.createElement("strong");
    place.textContent = "(" + at.map((mm) => minus(String((Math.sign(mm) * Math.floor(Math.abs(mm) * 10 + 0.5)) / 10))).join(", ") + ") mm: ";
    readout.append(place);
    if (voxel < 0 || !statistic[voxel]) {
      readout.append("outside the analysis mask");
      return;
    }
    const found = facts.maps.slice(1).filter((_, index) => (survives[voxel] >> index) & 1);
    const names = facts.atlases.map((atlas, index) => [atlas.name, atlas.labels[atlases[index][voxel]]]).filter((pair) => pair[1]);
    readout.append(facts.symbol + " = " + minus((statistic[voxel] * unit).toFixed(2)));
    readout.append(facts.maps.length > 1 ? ". " + (found.length ? "Survives: " + found.join("; ") : "Survives no correction") + "." : ".");
    if (names.length) readout.append(" " + names.map(([atlas, label]) => atlas + ": " + label).join("; ") + ".");
  }

  let waiting = false;
  function refresh() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      views.forEach(draw);
      tell();
      ["x", "y", "z"].forEach((axis, index) => {
        if (document.activeElement !== el("at-" + axis)) el("at-" + axis).value = Math.round(at[index] * 10) / 10;
      });
      el("least").textContent = state.least.toFixed(2);
      el("dense").textContent = Math.round(100 * state.opacity) + " %";
      document.body.dataset.drawn = Number(document.body.dataset.drawn || 0) + 1;
    });
  }

  function go(place) {
    place.forEach((mm, axis) => {
      if (Number.isFinite(mm)) at[axis] = Math.min(box[axis][1], Math.max(box[axis][0], mm));
    });
    refresh();
  }

  for (const view of views) {
    const { canvas, normal, right, up } = view;
    const move = (event) => {
      const area = canvas.getBoundingClientRect(), place = at.slice();
      place[right] = box[right][0] + ((event.clientX - area.left) / area.width) * (box[right][1] - box[right][0]);
      place[up] = box[up][1] - ((event.clientY - area.top) / area.height) * (box[up][1] - box[up][0]);
      go(place.map((mm, axis) => (axis === normal ? mm : grid.origin[axis] + Math.round((mm - grid.origin[axis]) / grid.step[axis]) * grid.step[axis])));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); move(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) move(event); });
    const keys = { ArrowRight: [right, 1], ArrowLeft: [right, -1], ArrowUp: [up, 1], ArrowDown: [up, -1], PageUp: [normal, 1], PageDown: [normal, -1] };
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in keys)) return;
      event.preventDefault();
      const [axis, sign] = keys[event.key], place = at.slice();
      place[axis] += sign * grid.step[axis];
      go(place);
    });
  }
  ["x", "y", "z"].forEach((axis, index) => el("at-" + axis).addEventListener("change", (event) => {
    const place = at.slice();
    place[index] = event.target.valueAsNumber;
    go(place);
  }));
  el("threshold").addEventListener("input", (event) => { state.least = event.target.valueAsNumber; refresh(); });
  el("opacity").addEventListener("input", (event) => { state.opacity = event.target.valueAsNumber / 100; refresh(); });
  el("map").addEventListener("change", (event) => choose(Number(event.target.value)));
  document.querySelectorAll("[data-place]").forEach((button) => button.addEventListener("click", () => go(button.dataset.place.split(",").map(Number))));

  function choose(map) {
    state.map = map;
    state.least = map ? 0 : facts.strong;
    el("map").value = map;
    el("threshold").value = state.least;
    refresh();
  }

  function follow() {
    const place = decodeURIComponent(location.hash.slice(1)).split(",").map(Number);
    if (place.length === 3 && place.every(Number.isFinite) && location.hash.length > 1) go(place);
  }
  addEventListener("hashchange", follow);

  const bar = el("bar").getContext("2d"), strip = bar.createImageData(256, 12);
  for (let x = 0; x < 256; x++) {
    const value = lower + ((upper - lower) * x) / 255, shade = 3 * Math.round((value / largest + 1) * 127.5);
    for (let y = 0; y < 12; y++) strip.data.set([colours[shade], colours[shade + 1], colours[shade + 2], 255], 4 * (256 * y + x));
  }
  bar.putImageData(strip, 0, 0);
  el("scale-low").textContent = minus(lower.toFixed(1));
  el("scale-high").textContent = upper.toFixed(1);
  choose(facts.first);
  follow();
  document.body.dataset.ready = "yes";
})();

// Runs in the page under test.

/** Text with less contrast than WCAG 2.2 asks for (1.4.3). */
export function hardToRead() {
  const canvas = document.createElement("canvas").getContext("2d", {
    willReadFrequently: true,
  });
  const paint = (colors) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => value / 255).map((value) =>
      value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
    );
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const problems = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter((node) =>
      node.nodeType === Node.TEXT_NODE
    ).map((node) => node.textContent).join("").trim();
    if (!text || !element.checkVisibility() || element.closest(":disabled")) {
      continue;
    }
    const behind = [];
    for (let at = element; at; at = at.parentElement) {
      behind.unshift(getComputedStyle(at).backgroundColor);
    }
    // What the window itself is painted with.
    behind.unshift("white");
    const { color, fontSize } = getComputedStyle(element);
    const [dark, light] = [paint(behind), paint([...behind, color])]
      .map(luminance).sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < (parseFloat(fontSize) >= 24 ? 3 : 4.5)) {
      problems.push(`"${text}" has a contrast of ${contrast.toFixed(1)}`);
    }
  }
  return problems;
}

/** What does not fit the width of the window. */
export function cutOff() {
  const { scrollWidth, clientWidth } = document.documentElement;
  return scrollWidth > clientWidth
    ? [`the page is ${scrollWidth} px wide in a window of ${clientWidth} px`]
    : [];
}

// What is looked at, as the address says after "#".

const TEXTS = ["scope", "status", "find", "user", "hour"];

/**
 * What is looked at: `scope`, `status`, the key to `find`, the `user` and the
 * `hour` that requests are of, each `null` for any; how many `hours` figures
 * span; and the `key` whose story is told, or `null`.
 */
export function view() {
  const said = new URLSearchParams(location.hash.slice(1));
  const texts = TEXTS.map((name) => [name, said.get(name)]);
  const hours = Number(said.get("hours"));
  const key = said.get("key");
  return {
    ...Object.fromEntries(texts),
    hours: [6, 24, 48, 192].includes(hours) ? hours : 24,
    key: key === null ? null : {
      key,
      scope: said.get("of") ?? "",
      owner: said.get("owner") ?? "",
    },
  };
}

/** The address of what is looked at, with changes. */
export function address(changes) {
  const { key, hours, ...texts } = { ...view(), ...changes };
  const said = new URLSearchParams();
  for (const name of TEXTS) {
    if (texts[name] !== null) said.set(name, texts[name]);
  }
  if (hours !== 24) said.set("hours", String(hours));
  if (key !== null) {
    said.set("key", key.key);
    said.set("of", key.scope);
    said.set("owner", key.owner);
  }
  return `#${said}`;
}

/** Looks at something else, or once more at the same. */
export function go(changes) {
  const there = address(changes);
  if ((location.hash || "#") === there) dispatchEvent(new Event("hashchange"));
  else location.hash = there;
}

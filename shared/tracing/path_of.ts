const MAX_SEGMENT = 40;

/**
 * The path of an address as it may be logged: without query and fragment, which
 * is where secrets travel, and without segments that may be one.
 */
export function pathOf(address: string): string {
  const [path = ""] = address.split(/[?#]/);
  return path.split("/").map((segment) => {
    const text = decoded(segment);
    return text.length > MAX_SEGMENT || /[@:\s]/.test(text)
      ? "[redacted]"
      : segment;
  }).join("/");
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

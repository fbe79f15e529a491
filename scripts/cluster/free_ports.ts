// Below those that systems give to outgoing connections, which come and go by the
// hundred while a server starts.
const FIRST = 10_000;
const LAST = 32_767;

// Whoever is given a port takes it a moment later: servers that start at once would
// else be given the same one.
const given = new Set<number>();

/** Loopback ports that were free a moment ago, each another one. */
export function freePorts(count: number): number[] {
  const listeners: Deno.TcpListener[] = [];
  while (listeners.length < count) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    if (given.has(port)) continue;
    try {
      listeners.push(Deno.listen({ hostname: "127.0.0.1", port }));
      given.add(port);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  const ports = listeners.map(({ addr }) => addr.port);
  listeners.forEach((listener) => listener.close());
  return ports;
}

/** A loopback port that was free a moment ago. */
export function freePort(): number {
  return freePorts(1)[0]!;
}

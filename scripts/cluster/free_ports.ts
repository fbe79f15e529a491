// Below those that systems give to outgoing connections, which come and go by the
// hundred while a server starts.
const FIRST = 10_000;
const LAST = 32_767;

/** Loopback ports that were free a moment ago, each another one. */
export function freePorts(count: number): number[] {
  const listeners: Deno.TcpListener[] = [];
  while (listeners.length < count) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1));
    try {
      listeners.push(Deno.listen({ hostname: "127.0.0.1", port }));
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

/**
 * Opens a way to a loopback port on which whatever comes back is under way for
 * a time, and is lost when the other end dies meanwhile.
 *
 * @param lagMs For how long, in ms, as of now.
 */
export function slowWay(
  port: number,
  lagMs: () => number,
): { readonly port: number; close(): void } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const timers = new Set<ReturnType<typeof setTimeout>>();
  const relay = async (near: Deno.TcpConn) => {
    const far = await Deno.connect({ hostname: "127.0.0.1", port });
    near.readable.pipeTo(far.writable).catch(() => {});
    const writer = near.writable.getWriter();
    for await (const bytes of far.readable) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        writer.write(bytes).catch(() => {});
      }, lagMs());
      timers.add(timer);
    }
    await writer.abort();
  };
  (async () => {
    for await (const near of listener) relay(near).catch(() => {});
  })();
  return {
    port: listener.addr.port,
    close() {
      listener.close();
      timers.forEach((timer) => clearTimeout(timer));
    },
  };
}

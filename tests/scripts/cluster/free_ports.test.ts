import { assertEquals } from "@std/assert";
import { freePorts } from "../../../scripts/cluster/free_ports.ts";

Deno.test("servers that start at once are given ports of their own", () => {
  const ports = Array.from({ length: 100 }, () => freePorts(12)).flat();
  assertEquals(new Set(ports).size, ports.length);
});

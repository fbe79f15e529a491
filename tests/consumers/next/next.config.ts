import { join } from "node:path";
import type { NextConfig } from "next";

export default {
  // Where the packages are installed that all these examples share.
  turbopack: { root: join(process.cwd(), "../..") },
} satisfies NextConfig;

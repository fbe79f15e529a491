/** What `supabase functions deploy` sent for one function. */
export interface Upload {
  /** Name of the function. */
  readonly slug: string;
  /** Contents by path, as the upload names it (relative to the project). */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Entry point, import map and the like, as the upload states them. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** A management API on loopback that accepts deployments and keeps them. */
export interface ApiRecorder {
  /** Base address, without a trailing slash. */
  readonly url: string;
  /** Uploads, in the order of arrival. */
  readonly uploads: readonly Upload[];
  /** Stops listening. */
  close(): Promise<void>;
}

async function readUpload(slug: string, request: Request): Promise<Upload> {
  const form = await request.formData();
  const files = new Map<string, Uint8Array>();
  let metadata: Record<string, unknown> = {};
  for (const [field, value] of form) {
    if (value instanceof File) files.set(value.name, await value.bytes());
    else if (field === "metadata") metadata = JSON.parse(value);
  }
  return { slug, files, metadata };
}

/** Starts a recorder on a free port. */
export function recordApi(): ApiRecorder {
  const uploads: Upload[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      if (request.method === "POST" && pathname.endsWith("/functions/deploy")) {
        const slug = searchParams.get("slug") ?? "";
        const upload = await readUpload(slug, request);
        uploads.push(upload);
        const now = Date.now();
        return Response.json({
          id: crypto.randomUUID(),
          slug,
          name: slug,
          status: "ACTIVE",
          version: 1,
          created_at: now,
          updated_at: now,
          ...upload.metadata,
        }, { status: 201 });
      }
      // Deploying several functions ends with one call that activates them all.
      if (request.method === "PUT" && pathname.endsWith("/functions")) {
        return Response.json({ functions: await request.json() });
      }
      await request.body?.cancel();
      return request.method === "GET" && pathname.endsWith("/functions")
        ? Response.json([])
        : Response.json({ message: "Not Found" }, { status: 404 });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    uploads,
    close: () => server.shutdown(),
  };
}

// Every file of this folder in one module graph, and so on one local stack.
const files = [...Deno.readDirSync(import.meta.dirname!)]
  .map(({ name }) => name)
  .filter((name) => name.endsWith(".test.ts"))
  .sort();
for (const file of files) await import(`./${file}`);
